package agent

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer/internal/message"
)

// A grant whose answer was on its way for longer than a manifest's deadline is asked
// for again: the backup does not fail for it.
func TestALateGrantIsAskedForAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var asked, clock atomic.Int64
	clock.Store(int64(time.Hour))
	d.a.Boottime = func() time.Duration { return time.Duration(clock.Load()) }
	d.commit = func() (message.CommitReply, error) {
		if asked.Add(1) == 1 {
			clock.Add(int64(16 * time.Second))
		}
		return message.CommitReply{Granted: true}, nil
	}
	d.begin()
	if w := d.run(backupOrder()); w.Outcome != message.Written {
		t.Errorf("%+v", w)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the commit was asked for %d times, want 2", n)
	}
}
