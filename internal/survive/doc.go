// Package survive is tests only. It runs a whole Coffer in one process (conductor,
// task manager, agent, records on SQLite, the local bus) beside a real MariaDB with
// the real tools, and takes from it what it stands on: the store fails, lies, stalls
// or keeps, a disk is full, the database dies, stored objects are damaged, strangers
// share the container, the data folder is put back.
//
// Whatever is taken away, a backup ends COMPLETED and reads back as what the
// database was, or FAILED with a reason and nothing left of it; and once it is given
// back everything works again.
//
// The timings of the protocol are shortened. Tests whose names begin with TestHeavy
// run with COFFER_HEAVY=1 only.
package survive
