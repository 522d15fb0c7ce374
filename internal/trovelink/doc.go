// Package trovelink joins Coffer to OpenStack's Trove, on either side of the guest's
// wire. Both halves stand on any bus; the one that speaks to Trove is bus/amqp.
//
// [Guest] is Coffer's agent under Trove's own task manager and conductor: it serves
// guestagent.<id> with Trove's methods, takes backups with Coffer's engine, and
// stores them as Trove's own agents do, so that Trove can restore what it wrote:
//
//	<id>.xbstream.gz    gzip; a static large object, or a plain one if it is small
//	<id>_%08d           its segments, in the same container
//
// with the metadata that Trove's restore reads (lsn, parent_location and
// parent_checksum). It writes with the caller's token, which comes in the context of
// the message, and into the account that comes with it; nothing else may be reached.
//
// [Control] is the other half: Coffer's task manager and conductor over guests that
// are Trove's own. It is a bus around the bus: what goes to such a guest becomes
// Trove's message, and Trove's messages to the conductor are taken here, so that no
// role knows of it.
//
// Trove's protocol has less than ours, and both halves say so where it matters: no
// claim and no commit grant, so nothing fences a guest that was taken for dead; no
// second reader, so COMPLETED is the guest's word; no proof of the sender, so any
// account that can publish to the conductor's topic can say it.
package trovelink
