// Package trovestore reads the backups that OpenStack's Trove has written into Swift,
// of every era, so that a chain of them is restored like one of Coffer's own. It
// writes nothing.
//
// A backup is one object, <id>.xbstream[.gz][.enc], beside which its segments lie:
//
//	Juno to Mitaka       a dynamic large object; segments <id>_00000000, …
//	Newton to 2025.1     a static large object without metadata, or one plain object
//	since 2025.2         a static large object with metadata
//
// Large objects are put together by the store; to a reader all eras are one object and
// its metadata (lsn, parent_location, parent_checksum), which may be missing: then
// whoever asks must know the parent.
//
// What Trove and its users' containers hold is hostile input. Nothing is believed that
// was not read: [Read] takes the whole stream through every layer to its end, compares
// Trove's checksum (the MD5 of an object, or the MD5 of its segments' MD5s), and gives a
// SHA-256 of the stored bytes. A [Layer], by which an engine restores, is held to that
// sum, to the sizes and to the position that were found then.
//
//	stored ─▶ sums ─▶ openssl ─▶ gzip ─▶ xbstream
//
// Trove's old agents encrypted with openssl enc: AES-256 in CBC mode, no checksum of its
// own, and a key that is derived from a passphrase in one of three ways, by the age of
// the openssl that ran. Which one it was is not written down: the one is taken whose
// first block opens to what must stand there.
package trovestore
