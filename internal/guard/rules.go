package guard

import (
	"cmp"
	"regexp"
	"time"

	"github.com/cofferdb/coffer"
)

// Bounds of what a guard remembers and passes on.
const (
	MaxLine      = 8 << 10 // a line of the tool is cut here
	MaxSightings = 16      // a mark, or one edge of a stage, is reported this often unless it says more
	maxStages    = 8
	maxSightings = 8192 // of all marks together
	tailLines    = 40
	tailLine     = 1 << 10
)

// Rules say what a guard looks for and when it ends the tool.
type Rules struct {
	Stages []Stage `json:"stages,omitempty"`
	Marks  []Mark  `json:"marks,omitempty"`

	Beat          time.Duration `json:"beat"`           // each side's sign of life; 0 is 1 s
	Silence       time.Duration `json:"silence"`        // no sign for so long ends the tool; 0 is 10 s
	SilenceLocked time.Duration `json:"silence_locked"` // the same while a locked stage is open; 0 is 3 s
}

// Stage is a span of the tool's run, from a line that matches Begin to the first
// later one that matches End (or the tool's end). It may come again.
type Stage struct {
	Name   string        `json:"name"`
	Begin  string        `json:"begin"` // regular expressions; starting with plain letters they are quick
	End    string        `json:"end"`
	Max    time.Duration `json:"max"`    // longer than this ends the tool; 0 is no bound
	Locked bool          `json:"locked"` // the tool holds or awaits a lock of the database
}

// Mark is a line worth knowing: never dropped, up to Max of each.
type Mark struct {
	Name    string `json:"name"`
	Pattern string `json:"pattern"`
	Max     int    `json:"max,omitempty"` // 0 is MaxSightings
}

// sightings is how many messages the marks and stages can cause at most.
func (r Rules) sightings() int {
	n := len(r.Stages) * 4 * MaxSightings
	for _, m := range r.Marks {
		n += cmp.Or(m.Max, MaxSightings)
	}
	return n
}

func (r Rules) withDefaults() Rules {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&r.Beat, time.Second}, {&r.Silence, 10 * time.Second}, {&r.SilenceLocked, 3 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return r
}

// tick is how often either side looks at its clocks.
func (r Rules) tick() time.Duration {
	return min(100*time.Millisecond, r.Beat/2, r.SilenceLocked/5)
}

type compiledStage struct {
	Stage
	begin, end *regexp.Regexp
}

type compiledMark struct {
	Mark
	pattern *regexp.Regexp
}

type compiled struct {
	stages []compiledStage
	marks  []compiledMark
}

func (r Rules) compile() (compiled, error) {
	const op = "read the guard's rules"
	var c compiled
	if len(r.Stages) > maxStages || r.sightings() > maxSightings {
		return c, coffer.E(coffer.KindInvalid, op, "%d stages and %d sightings, at most %d and %d",
			len(r.Stages), r.sightings(), maxStages, maxSightings)
	}
	for _, s := range r.Stages {
		begin, err := regexp.Compile(s.Begin)
		if err != nil {
			return c, coffer.E(coffer.KindInvalid, op, "stage %s: %w", s.Name, err)
		}
		end, err := regexp.Compile(s.End)
		if err != nil {
			return c, coffer.E(coffer.KindInvalid, op, "stage %s: %w", s.Name, err)
		}
		c.stages = append(c.stages, compiledStage{Stage: s, begin: begin, end: end})
	}
	for _, m := range r.Marks {
		p, err := regexp.Compile(m.Pattern)
		if err != nil {
			return c, coffer.E(coffer.KindInvalid, op, "mark %s: %w", m.Name, err)
		}
		m.Max = cmp.Or(m.Max, MaxSightings)
		c.marks = append(c.marks, compiledMark{m, p})
	}
	return c, nil
}
