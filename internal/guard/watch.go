package guard

import (
	"fmt"
	"sync"
	"time"
)

// watch is what the guard knows of its tool: it turns lines into stages and
// marks and says when a bound is passed. It does no I/O; send must not block.
type watch struct {
	rules compiled
	begin time.Time
	send  func(message)

	mu     sync.Mutex
	open   map[string]time.Time // stages under way
	stages map[string]StageTime
	marks  map[string][]string
	sent   map[string]int // stage edges reported, by name
	tail   tail
}

func newWatch(c compiled, send func(message)) *watch {
	return &watch{
		rules: c, begin: time.Now(), send: send,
		open: map[string]time.Time{}, stages: map[string]StageTime{},
		marks: map[string][]string{}, sent: map[string]int{},
	}
}

// line takes one line of the tool; it reports whether a rule matched it.
func (w *watch) line(text string) bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail.add(text)
	hit := false
	for _, s := range w.rules.stages {
		_, open := w.open[s.Name]
		switch {
		case open && s.end.MatchString(text):
			w.endStage(s, now)
			hit = true
		case !open && s.begin.MatchString(text):
			w.open[s.Name] = now
			w.edge(now, StageEdge{Name: s.Name, Begin: true, Locked: s.Locked})
			hit = true
		}
	}
	for _, m := range w.rules.marks {
		if !m.pattern.MatchString(text) {
			continue
		}
		hit = true
		if len(w.marks[m.Name]) < m.Max {
			w.marks[m.Name] = append(w.marks[m.Name], text)
			w.send(message{At: now.Sub(w.begin), Mark: &Sighting{m.Name, text}})
		}
	}
	return hit
}

func (w *watch) endStage(s compiledStage, now time.Time) {
	took := now.Sub(w.open[s.Name])
	delete(w.open, s.Name)
	t := w.stages[s.Name]
	w.stages[s.Name] = StageTime{t.Count + 1, t.Total + took, max(t.Longest, took)}
	w.edge(now, StageEdge{Name: s.Name, Locked: s.Locked, Took: took})
}

func (w *watch) edge(now time.Time, e StageEdge) {
	if w.sent[e.Name]++; w.sent[e.Name] <= 2*MaxSightings {
		w.send(message{At: now.Sub(w.begin), Stage: &e})
	}
}

// verdict says why the tool must end now, or "". silent is for how long the agent has
// given no sign of life.
func (w *watch) verdict(r Rules, silent time.Duration) string {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := r.Silence
	for _, s := range w.rules.stages {
		since, open := w.open[s.Name]
		if !open {
			continue
		}
		if s.Locked {
			limit = r.SilenceLocked
		}
		if s.Max > 0 && now.Sub(since) > s.Max {
			return fmt.Sprintf("stage %q lasted longer than its bound of %v", s.Name, s.Max)
		}
	}
	if silent > limit {
		return fmt.Sprintf("the process that asked for it was silent for %v", limit)
	}
	return ""
}

// finish closes what is open and fills the report.
func (w *watch) finish(r *Report) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.rules.stages {
		if _, open := w.open[s.Name]; open {
			w.endStage(s, now)
		}
	}
	r.Took, r.Stages, r.Marks, r.Tail = now.Sub(w.begin), w.stages, w.marks, w.tail.last()
}
