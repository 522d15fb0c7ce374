// Package e2e holds the tests that kill, stop and restart the real program beside
// a real database, and look at what is left. It has no code of its own.
//
// A world is one state folder with its processes: "coffer server", alone or with a
// "coffer agent" beside it, built with the tag failpoints so that a process can be
// killed or stopped exactly at a step that it names itself. Whatever happens in a
// world, the same must hold in the end, and [world.settled] and [world.clean] ask
// for it: every backup is COMPLETED and reads back whole, or FAILED and has left
// nothing in the store; the instance takes the next backup; no process is left
// behind.
//
// The timings of the protocol are shortened, in the same proportions, unless a
// test says otherwise. Tests whose names begin with TestHeavy run with
// COFFER_HEAVY=1 only: more points, and the real timings.
package e2e
