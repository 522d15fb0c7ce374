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

// Run runs the suite. fresh makes empty records and gives what opens them, as often
// as it is called; they are closed at the test's end.
func Run(t *testing.T, fresh func(t *testing.T) (open func() *records.DB)) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, *records.DB)
	}{
		{"CreateBackup", testCreateBackup},
		{"CreateRefused", testCreateRefused},
		{"Parents", testParents},
		{"Containers", testContainers},
		{"Idempotency", testIdempotency},
		{"Walls", testWalls},
		{"Listing", testListing},
		{"Bell", testBell},
		{"Claim", testClaim},
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
		{"Prune", testPrune},
		{"PruneMuch", testPruneMuch},
		{"RaceRunners", testRaceRunners},
		{"RaceVerdict", testRaceVerdict},
		{"RaceInstance", testRaceInstance},
		{"RaceJoin", testRaceJoin},
		{"Giving up", testGivingUp},
		{"Life", testLife},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, fresh(t)())
		})
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T, *pair)
	}{
		{"Quota", testPairQuota},
		{"Parent", testPairParent},
		{"Newest", testPairNewest},
		{"Forced", testPairForced},
		{"Pins", testPairPins},
		{"Idempotency", testPairIdempotency},
		{"Deletes", testPairDeletes},
		{"Cancel", testPairCancel},
		{"Bell", testPairBell},
		{"Events", testPairEvents},
		{"FirstRows", testPairFirstRows},
	} {
		t.Run("Two/"+c.name, func(t *testing.T) {
			t.Parallel()
			open := fresh(t)
			c.run(t, &pair{world: newWorld(t, open()), other: open()})
		})
	}
}
