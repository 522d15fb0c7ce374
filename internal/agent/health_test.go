package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/message"
)

// A heartbeat says how the restored servers are; of one that is starting it says
// nothing new.
func TestHeartbeatTellsHealth(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	slot := func(id coffer.InstanceID) host.Slot { return host.Slot{Instance: id} }
	d.a.Host = &fakeHost{dir: t.TempDir(), running: []host.Running{
		{Slot: slot("well"), Alive: true, Up: true}, {Slot: slot("starting"), Alive: true},
		{Slot: slot("ended"), Up: true}, {Slot: slot("cannot start"), Error: "no data"},
	}}
	told := make(chan map[coffer.InstanceID]string, 16)
	d.deleted = func(a message.HeartbeatArgs) []coffer.InstanceID {
		select {
		case told <- a.Health:
		default:
		}
		return nil
	}
	d.begin()
	want := map[coffer.InstanceID]string{"well": "HEALTHY", "ended": "CRASHED", "cannot start": "CRASHED"}
	if diff := cmp.Diff(want, <-told); diff != "" {
		t.Error(diff)
	}
}
