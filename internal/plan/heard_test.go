package plan_test

import (
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/plan"
)

// An observer goes by the beats that it sees change; whose clock wrote the row does
// not matter.
func TestHeardGoesByBeats(t *testing.T) {
	t.Parallel()
	var h plan.Heard
	now := time.Now()
	at := func(id string, beat uint64, skew time.Duration) coffer.Agent {
		return coffer.Agent{ID: coffer.AgentID(id), Boot: "b", Beat: beat, Seen: now.Add(skew)}
	}
	// Of one that it has never seen change it can only believe the rows.
	if got := h.Listen([]coffer.Agent{at("a", 1, 0), at("b", 1, -time.Hour)}, now); got["a"] != 0 || got["b"] != time.Hour {
		t.Errorf("at first %v", got)
	}
	now = now.Add(30 * time.Second)
	// A conductor whose clock is an hour ahead wrote a's row, one whose is behind b's.
	got := h.Listen([]coffer.Agent{at("a", 2, time.Hour), at("b", 2, -time.Hour)}, now)
	if got["a"] != 0 || got["b"] != 0 {
		t.Errorf("both beat and are taken for silent: %v", got)
	}
	now = now.Add(2 * time.Minute)
	got = h.Listen([]coffer.Agent{at("a", 3, -time.Hour), at("b", 2, time.Hour)}, now)
	if got["a"] != 0 || got["b"] != 2*time.Minute {
		t.Errorf("one beats, one is silent: %v", got)
	}
}
