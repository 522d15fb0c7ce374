package taskmanager

import (
	"cmp"
	"slices"
	"time"

	"github.com/cofferdb/coffer"
)

const (
	firstGap  = 200 * time.Millisecond // before a bell that nobody heard is rung a second time
	heardGap  = 2 * time.Second        // before one that was heard is: claims take their time where many wait
	longGap   = 30 * time.Second       // and at the longest
	heldFor   = 10 * time.Second       // a job that was heard and not claimed yet has its place so long
	forgotten = time.Hour              // a bell that was not due for so long is another's, or over
)

// bell is what this task manager knows of a job that nobody has claimed. Its times
// are of its own monotonic clock: the rows' are of whoever wrote them, and clocks
// jump.
type bell struct {
	since   time.Time // it waits for somebody to claim it; waiting for a cap does not count
	again   time.Time // not rung here before
	seen    time.Time // last found due
	told    time.Time // heard by who is to claim it; zero: not
	before  time.Time // what told was before this round
	deaf    time.Time // nobody serves its topic since; zero: somebody does
	kind    coffer.JobKind
	project coffer.ProjectID
	host    coffer.AgentID // who is to claim it; "" is nobody that counts
	store   string
	looked  time.Time // when host and store were read
}

// bellOf is the job's bell, of its first day on.
func (t *TaskManager) bellOf(j coffer.Job, now time.Time) *bell {
	b := t.bells[j.ID]
	if b == nil {
		b = &bell{since: now, kind: j.Kind, project: j.Project}
		t.bells[j.ID] = b
	}
	b.seen = now
	return b
}

// gap is the time to the next ring: longer, the longer nobody comes.
func (b *bell) gap(now time.Time) time.Duration {
	return min(firstGap+now.Sub(b.since)/4, longGap)
}

// heardGap is gap for a bell that is heard.
func (b *bell) heardGap(now time.Time) time.Duration { return max(b.gap(now), heardGap) }

// held reports whether a claim is on its way, as far as anybody knows.
func (b *bell) held(now time.Time) bool { return !b.told.IsZero() && now.Sub(b.told) < heldFor }

func (t *TaskManager) forgetBells(now time.Time) {
	for id, b := range t.bells {
		if now.Sub(b.seen) > forgotten {
			delete(t.bells, id)
		}
	}
	for p, at := range t.served {
		if now.Sub(at) > forgotten {
			delete(t.served, p)
		}
	}
}

// inTurn orders due jobs: of each project the oldest first, and one of each project
// in turn. The project with the fewest running jobs begins, then the one that was
// served the longest ago.
func inTurn(jobs []coffer.Job, running map[coffer.ProjectID]int, served map[coffer.ProjectID]time.Time) []coffer.Job {
	oldest := func(a, b coffer.Job) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) }
	of := map[coffer.ProjectID][]coffer.Job{}
	for _, j := range slices.SortedFunc(slices.Values(jobs), oldest) {
		of[j.Project] = append(of[j.Project], j)
	}
	var turn []coffer.ProjectID
	for p := range of {
		turn = append(turn, p)
	}
	slices.SortFunc(turn, func(a, b coffer.ProjectID) int {
		return cmp.Or(cmp.Compare(running[a], running[b]), served[a].Compare(served[b]), oldest(of[a][0], of[b][0]))
	})
	out := make([]coffer.Job, 0, len(jobs))
	for len(out) < len(jobs) {
		for _, p := range turn {
			if len(of[p]) > 0 {
				out, of[p] = append(out, of[p][0]), of[p][1:]
			}
		}
	}
	return out
}
