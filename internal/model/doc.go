// Package model holds tests only: all of Coffer's roles in one process on fakes,
// driven through seeded random histories and through direct scenes of their worst
// moments. Records are real; the store is in memory and spoils its calls, the bus
// loses and repeats, the database is a fake, and the clock is synctest's, so the
// product's own timings are kept and an hour passes in a blink.
//
// Every process is a life behind gates: each call that it makes on a store, a bus
// or the records, and each failpoint of its role, passes one. A life that is
// killed never passes a gate again; one that is stopped passes when it is woken.
// So a process can end at any instant without a goodbye, as kill -9 does it.
//
// A history that goes wrong prints its seed; COFFER_SEED replays it.
package model
