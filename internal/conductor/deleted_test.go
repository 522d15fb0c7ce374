package conductor

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
)

// An agent is told which of its servers nobody wants any more: those whose row says
// deleted, of this agent, and none that no row knows.
func TestHeartbeatNamesDeletedInstances(t *testing.T) {
	t.Parallel()
	c, db, live := newConductor(t, "")
	row := func(agent coffer.AgentID) coffer.InstanceID {
		id := coffer.InstanceID(coffer.NewUUID())
		if err := db.CreateInstance(t.Context(), coffer.Instance{ID: id, Project: project, Agent: agent, Status: "ACTIVE"}); err != nil {
			t.Fatal(err)
		}
		if err := db.DeleteInstance(t.Context(), project, id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	mine, unplaced, others := row("a"), row(""), row("b")
	unknown := coffer.InstanceID(coffer.NewUUID())
	r, err := c.heartbeat(t.Context(), message.HeartbeatArgs{
		Agent: "a", Slots: []coffer.InstanceID{live, mine, unplaced, others, unknown, "no id"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]coffer.InstanceID{mine, unplaced}, r.Deleted); diff != "" {
		t.Error(diff)
	}
}
