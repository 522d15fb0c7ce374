// Package recordstest is the law of the records: what every database beneath
// them must do. A database's own test opens empty records and calls [Run].
//
// The suite checks each conditional change alone and repeated, races between
// those that must exclude each other, also when they come through two processes'
// handles, and a property: whatever order a job's moves come in, no backup is
// COMPLETED after the verdict FAILED, refs and pins are what the rows say, and
// nothing is held when all has ended.
package recordstest

import (
	"testing"

	"github.com/cofferdb/coffer/internal/records"
)

// Database is what the law is for.
type Database struct {
	// Fresh makes empty records and gives what opens them, as often as it is called;
	// they are closed at the test's end.
	Fresh func(t *testing.T) (open func() *records.DB)
	// OneWriter: transactions that write never run at once, so races need few rounds.
	OneWriter bool
}

// Run runs the suite.
func Run(t *testing.T, d Database) {
	t.Helper()
	for _, c := range alone() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, d.Fresh(t)())
		})
	}
	for _, c := range two() {
		t.Run("Two/"+c.name, func(t *testing.T) {
			t.Parallel()
			open := d.Fresh(t)
			p := &pair{world: newWorld(t, open()), other: open(), share: 1}
			if d.OneWriter {
				p.share = 5
			}
			c.run(t, p)
		})
	}
}

// law is one law of what is tested through an X.
type law[X any] struct {
	name string
	run  func(*testing.T, X)
}

// alone are the laws of one handle.
func alone() []law[*records.DB] {
	return []law[*records.DB]{
		{"CreateBackup", testCreateBackup},
		{"CreateRefused", testCreateRefused},
		{"Parents", testParents},
		{"Synthesis", testSynthesis},
		{"LongChains", testLongChains},
		{"Containers", testContainers},
		{"Idempotency", testIdempotency},
		{"Walls", testWalls},
		{"Listing", testListing},
		{"Bell", testBell},
		{"Shift", testShift},
		{"NewestByAnyClock", testNewestByAnyClock},
		{"Claim", testClaim},
		{"Work", testWork},
		{"RefusedMoves", testRefusedMoves},
		{"LastEvents", testLastEvents},
		{"Grant", testGrant},
		{"Report", testReport},
		{"Complete", testComplete},
		{"Verdict", testVerdict},
		{"FailBackup", testFailBackup},
		{"Lost", testLost},
		{"Cancel", testCancel},
		{"Restore", testRestore},
		{"Verify", testVerify},
		{"Delete", testDelete},
		{"DeleteForced", testDeleteForced},
		{"DeleteFailed", testDeleteFailed},
		{"Events", testEvents},
		{"Instances", testInstances},
		{"Agents", testAgents},
		{"Strategies", testStrategies},
		{"Counters", testCounters},
		{"Sweep", testSweep},
		{"Joins", testJoins},
		{"Imports", testImports},
		{"ImportsFail", testImportsFail},
		{"Quotas", testQuotas},
		{"Prune", testPrune},
		{"PruneMuch", testPruneMuch},
		{"RaceRunners", testRaceRunners},
		{"RaceInstance", testRaceInstance},
		{"RaceJoin", testRaceJoin},
		{"Giving up", testGivingUp},
		{"Life", testLife},
	}
}

// two are the laws of races between two handles, as two processes have them.
func two() []law[*pair] {
	return []law[*pair]{
		{"Quota", testPairQuota},
		{"Parent", testPairParent},
		{"Newest", testPairNewest},
		{"Forced", testPairForced},
		{"Pins", testPairPins},
		{"Idempotency", testPairIdempotency},
		{"Deletes", testPairDeletes},
		{"Cancel", testPairCancel},
		{"Verdict", testPairVerdict},
		{"Bell", testPairBell},
		{"Bells", testPairBells},
		{"Events", testPairEvents},
		{"FirstRows", testPairFirstRows},
	}
}
