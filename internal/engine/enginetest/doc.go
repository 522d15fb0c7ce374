// Package enginetest is the law for engines, and a fake one.
//
// [Run] is what every engine must keep: a restore of any link of a chain equals
// the source at that backup; an increment onto a base that is not the server's own
// past is refused in Probe; a sink's error and a caller's wish to stop end the
// backup, are the error that comes back, and leave the server fit for the next
// one; a cut layer or a hole in the chain is never restored. [RunLedger] holds every
// method to the position that its backups name, by a ledger that clients keep
// outside of the database while they write.
//
// [Fake] is an engine without a database, for tests of what stands above engines.
// [Recorder] is a Sink that keeps a stream in memory and gives it back as a Layer.
package enginetest
