// Package guard runs a database's tool so that it can never outlive the process
// that wanted it, nor hold a database longer than agreed.
//
// A tool is not a child of the agent but of a tiny process between the two:
//
//	agent ──beats──▶ guard ──▶ tool (a process group of its own)
//	      ◀─reports─
//
// The guard reads the tool's standard error, times stages of it by its own
// monotonic clock, and expects a byte a second from the agent. It ends the tool's
// whole group when the agent is gone or silent (sooner while a lock is held), and
// when a stage lasts longer than its bound: so a stopped or killed agent cannot
// freeze a database. The tool carries a parent-death signal: killing the guard
// kills the tool. And the agent watches the guard the same way, so a stopped guard
// is killed too. The tool's standard output goes straight to the file given by the
// agent; no byte of it passes through the guard.
//
// What the tool says is bounded everywhere: lines are cut at [MaxLine], only the
// last few are kept, marks are reported [MaxSightings] times unless they say more, other lines are
// dropped when the agent does not keep up. A tool that writes a gigabyte of errors
// is neither blocked nor remembered.
//
// The parent's side is [Start]; the child's is [Main], which cmd/coffer runs as a
// hidden command and test binaries through [Hook]. The order travels on the
// guard's standard input, never in its command line.
package guard
