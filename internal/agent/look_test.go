package agent

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/message"
)

// What would stop a restore is said by its plan: a port that is taken, a key that
// nobody here can open.
func TestLookFindsTakenPortsAndClosedKeys(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.a.Host = &fakeHost{dir: t.TempDir()}
	d.begin()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().(*net.TCPAddr).Port
	look := func(a message.LookArgs) string {
		r, err := d.a.look(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(r.Stops, "; ")
	}
	if got := look(message.LookArgs{}); got != "" {
		t.Errorf("a free host: %s", got)
	}
	if got := look(message.LookArgs{Target: coffer.Target{Port: taken}}); !strings.Contains(got, fmt.Sprintf("port %d is in use", taken)) {
		t.Errorf("a taken port: %q", got)
	}
	sealed := message.LookArgs{Project: "p", Chain: []message.Link{{Backup: "b", Store: "s", Key: "k"}, {Backup: "c", Store: "s", Key: "k"}}}
	if got := look(sealed); strings.Count(got, "is encrypted") != 1 || !strings.Contains(got, "identity") {
		t.Errorf("a key that nobody opens: %q", got)
	}
}

// A deleted instance's server goes also when the message that told of it did not
// come, or when the agent was stopped while it removed it.
func TestDeletedServersAreRemovedAfterAHeartbeat(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	h := &fakeHost{dir: t.TempDir(), slots: []host.Slot{{Instance: "here"}, {Instance: "gone"}}}
	d.a.Host = h
	d.a.Config.Heartbeat = 10 * time.Millisecond
	d.deleted = func(a message.HeartbeatArgs) []coffer.InstanceID { return a.Slots[1:] }
	d.begin()
	for end := time.Now().Add(10 * time.Second); h.removed.Load() == 0; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the deleted instance's server stays")
		}
	}
	if last := h.last.Load(); last != "gone" {
		t.Errorf("removed %v", last)
	}
}
