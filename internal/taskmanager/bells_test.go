package taskmanager

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
)

// slowBells are records whose server is far away.
type slowBells struct {
	Records
	takes time.Duration
}

// RangAll implements Records.
func (s slowBells) RangAll(ctx context.Context, now time.Time, bells []records.Bell) ([]bool, error) {
	time.Sleep(s.takes)
	return s.Records.RangAll(ctx, now, bells)
}

// Many due jobs do not wait for each other's rows.
func TestBellsAreTakenBesideEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		heard := d.listen()
		d.tm.Records = slowBells{d.db, 100 * time.Millisecond}
		for range 3 * ringsAtOnce {
			d.backup(project, "a", time.Now())
		}
		from := time.Now()
		d.must(d.tm.ring(t.Context(), nil))
		if took := time.Since(from); heard.all() != 3*ringsAtOnce || took > 300*time.Millisecond {
			t.Errorf("%d bells took %v, of 100 ms each", heard.all(), took)
		}
	})
}

// A bell that was heard is left alone for as long as a claim may take where many
// wait; one that nobody heard is rung again soon.
func TestAHeardBellIsNotRungAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		heard := d.listen()
		j := d.backup(project, "a", time.Now())
		topic := message.GuestAgent(j.Instance).Topic
		heard.deaf[topic] = true
		d.must(d.tm.ring(t.Context(), nil))
		heard.deaf[topic] = false
		time.Sleep(2 * firstGap)
		d.must(d.tm.ring(t.Context(), nil))
		if n := heard.all(); n != 1 {
			t.Fatalf("the agent has come, and heard %d bells", n)
		}
		for range 3 {
			time.Sleep(heardGap / 4)
			d.must(d.tm.ring(t.Context(), nil))
			d.must(d.another("t2", 0).ring(t.Context(), nil))
		}
		if n := heard.all(); n != 1 {
			t.Errorf("it was about to claim, and heard %d bells", n)
		}
		time.Sleep(heardGap / 2)
		d.must(d.tm.ring(t.Context(), nil))
		if n := heard.all(); n != 2 {
			t.Errorf("nobody claims, and it heard %d bells", n)
		}
	})
}
