package bench

import (
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

// TestSmall takes a small fleet and a few requests through what the benchmarks of the
// control plane do, in seconds instead of minutes, so that they are sound when they
// are run.
func TestSmall(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	t.Run("fleet", func(t *testing.T) {
		d := drill{
			agents: 100, connections: 2, runners: 5,
			heartbeat: 2 * time.Second, beat: 500 * time.Millisecond, lease: 6 * time.Second, lasts: 3 * time.Second,
		}
		v := d.hold(t, p)
		v.judge(t, d)
		if v.conductor.Count < d.agents/2 || v.conductor.Peak == 0 || v.conductor.CPU == 0 || v.broker == 0 || v.database == 0 {
			t.Errorf("something was not measured: %+v", v)
		}
	})
	t.Run("dispatch", func(t *testing.T) {
		v := rush{agents: 2, each: 5, rate: 5, lasts: 2 * time.Second, want: coffer.Completed}.hold(t, p)
		if v.refused > 0 || len(v.whole) != v.asked {
			t.Errorf("of %d requests %d were refused and %d backups COMPLETED", v.asked, v.refused, len(v.whole))
		}
	})
}
