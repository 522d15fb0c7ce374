// Package chaos holds the tests in which a whole fleet, of several of every role over
// a real RabbitMQ and a real PostgreSQL, is disturbed in every way that is promised to
// do no harm. It has no code of its own.
//
// TestHeavyChaos makes backups while a seeded disturber kills and stops processes,
// restarts the broker, spoils the network, lets clocks jump and loses and repeats
// messages. Then all is calm, and what must hold is asked for: every backup is in an
// end state, what is COMPLETED restores with every row that was committed before it
// was asked for, what FAILED cannot be read and leaves nothing behind, and each
// failure is explained by what was done to its own runner. COFFER_SEED repeats a run's
// disturbances (not its timing, which is the machine's); COFFER_CHAOS_BACKUPS says how
// many backups it makes, and COFFER_CHAOS_KEEP where to keep the fleet's folder, with
// its logs, if the test fails.
//
// The program is built with the tag failpoints, for its clock, its lossy bus and its
// short timings.
package chaos
