// Package coffer holds the nouns of Coffer, database backup as a service, and
// the rules about them: identifiers, states, jobs, chains, positions, sizes and
// errors. It does no I/O and imports the standard library only, so that every
// other package can speak in its words.
//
// A user asks for a [Backup] of an [Instance]. Everything long that follows is a
// [Job]: it has one runner, a phase, a progress and events, it can be seen,
// cancelled and rescued. A backup's [State] moves NEW, BUILDING, SAVING,
// COMPLETED, or ends FAILED; [State.CanBecome] is the whole table. An increment
// knows its parent; a chain is a full backup followed by increments, and
// [CheckChain] says whether one can be restored. A [Position] says where in the
// life of a database a backup stands, and what may follow it.
//
// Sizes are never mixed. DataBytes is what the data filesystem held when the
// backup started (Trove's "size" is that ÷ 2³⁰ with two decimals); PlainBytes is
// the tool's stream before compression; StoredBytes is what the store keeps.
package coffer
