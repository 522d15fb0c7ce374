package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdb/coffer"
)

// Silent is for how long an agent may be unheard before it is passed over.
const Silent = 3 * coffer.HeartbeatEvery

// Reserve is the space in bytes that a restore leaves free on a host that nobody
// has named.
const Reserve = 256 << 20

// Candidate is an agent as whoever places a restore knows it.
type Candidate struct {
	Agent   coffer.Agent
	Silent  time.Duration // for how long it has not been heard
	Running int           // jobs that run there
	Lacks   string        // what else keeps a restore from it, e.g. a key; "" is nothing
}

// Wish is what a restore needs of its place.
type Wish struct {
	Need  int64          // bytes
	Agent coffer.AgentID // the one that was named; "" is any
	Files bool           // into a folder: no server is run
	Cap   int            // jobs of one host at once; 0 is no limit
}

// Considered is one agent and why it was passed over.
type Considered struct {
	Agent   coffer.AgentID
	Free    int64
	Running int
	Reason  string // "" is the chosen one
}

// Placement is where a restore goes and why. Considered are all agents, the best
// first, also when none could be chosen.
type Placement struct {
	Agent      coffer.AgentID
	Why        string
	Considered []Considered
}

// Place chooses the agent of a restore. A server goes to the agent that was named,
// else to the one with the most room among those that are heard, then the one with
// the fewest jobs, then the lowest id; a host whose cap is reached is taken only if
// no other can be. A folder is of one machine: its agent is named, or the only one.
func Place(all []Candidate, w Wish) (Placement, error) {
	const op = "choose a host"
	all = slices.SortedFunc(slices.Values(all), better)
	var p Placement
	var open, full []Candidate
	for _, c := range all {
		why := against(c, w)
		p.Considered = append(p.Considered, Considered{c.Agent.ID, c.Agent.Free, c.Running, why})
		switch {
		case why != "":
		case w.Cap > 0 && c.Running >= w.Cap:
			full = append(full, c)
		default:
			open = append(open, c)
		}
	}
	fit := append(open, full...)
	if len(fit) == 0 {
		return p, nowhere(all, w)
	}
	if w.Files && w.Agent == "" && len(fit) > 1 {
		for i := range p.Considered {
			p.Considered[i].Reason = cmp.Or(p.Considered[i].Reason, "nobody has named it")
		}
		return p, coffer.E(coffer.KindInvalid, op, "there are %d agents, and a folder is of one machine", len(fit)).
			WithHint("name the agent of that machine")
	}
	best := fit[0]
	p.Agent, p.Why = best.Agent.ID, chosenAs(best, w, cmp.Or(len(open), len(fit)), len(open) == 0)
	for i := range p.Considered {
		if c := &p.Considered[i]; c.Reason == "" && c.Agent != best.Agent.ID {
			c.Reason = behind(*c, best, w)
		}
	}
	return p, nil
}

// better orders candidates: what is left free after any restore is ordered as what
// is free before it.
func better(a, b Candidate) int {
	return cmp.Or(cmp.Compare(b.Agent.Free, a.Agent.Free), cmp.Compare(a.Running, b.Running), cmp.Compare(a.Agent.ID, b.Agent.ID))
}

// against is what keeps a restore from an agent, or "".
func against(c Candidate, w Wish) string {
	named := w.Agent == c.Agent.ID
	switch {
	case w.Agent != "" && !named:
		return "another agent was named"
	case !w.Files && !c.Agent.Host:
		return "it does not run restored servers"
	case !named && c.Silent > Silent:
		return fmt.Sprintf("not heard for %s", c.Silent.Round(time.Second))
	case c.Lacks != "":
		return c.Lacks
	case w.Files: // the folder may be on any of its disks
		return ""
	case named && c.Agent.Free < w.Need:
		return fmt.Sprintf("%d bytes are free in %s and the restore needs %d", c.Agent.Free, c.Agent.DataDir, w.Need)
	case !named && c.Agent.Free < add(w.Need, Reserve):
		return fmt.Sprintf("%d bytes are free in %s and the restore needs %d, with %d in reserve", c.Agent.Free, c.Agent.DataDir, w.Need, int64(Reserve))
	}
	return ""
}

func chosenAs(c Candidate, w Wish, fit int, waits bool) string {
	why := fmt.Sprintf("the most room of %d hosts", fit)
	switch {
	case w.Agent != "":
		why = "as asked"
	case w.Files:
		why = "the only agent"
	case fit == 1:
		why = "the only host"
	}
	if waits {
		why += fmt.Sprintf("; it waits there: %d of %d jobs run", c.Running, w.Cap)
	}
	return why
}

// behind says why one that would do was not the best.
func behind(c Considered, best Candidate, w Wish) string {
	switch {
	case w.Cap > 0 && c.Running >= w.Cap && best.Running < w.Cap:
		return fmt.Sprintf("%d of %d jobs run there", c.Running, w.Cap)
	case c.Free < best.Agent.Free:
		return "less room than " + string(best.Agent.ID)
	case c.Running > best.Running:
		return "more jobs run there than on " + string(best.Agent.ID)
	}
	return "a later id than " + string(best.Agent.ID)
}

// nowhere says of the agent that was named, or of the likeliest one, why it cannot
// be.
func nowhere(all []Candidate, w Wish) error {
	const op = "choose a host"
	if w.Agent != "" {
		return notThere(all, w)
	}
	for _, c := range all { // the one with the most room first
		if c.Silent > Silent || !c.Agent.Host && !w.Files {
			continue
		}
		if c.Lacks != "" {
			return coffer.E(coffer.KindUnavailable, op, "agent %s: %s", c.Agent.ID, c.Lacks).WithHint("mend that, or name another host")
		}
		return coffer.E(coffer.KindNoSpace, op, "agent %s: %s", c.Agent.ID, against(c, w)).
			WithHint("make room there, or name a host: a named one needs no reserve")
	}
	if w.Files {
		return coffer.E(coffer.KindUnavailable, op, "no agent is heard").WithHint("start an agent on that machine")
	}
	return coffer.E(coffer.KindUnavailable, op, "no agent that runs restored servers is heard").
		WithHint("start an agent with hosting on, or restore files into a folder")
}

func notThere(all []Candidate, w Wish) error {
	const op = "choose a host"
	i := slices.IndexFunc(all, func(c Candidate) bool { return c.Agent.ID == w.Agent })
	if i < 0 {
		return coffer.E(coffer.KindNotFound, op, "no agent %s", w.Agent).WithHint("name one that is running")
	}
	switch c := all[i]; {
	case !w.Files && !c.Agent.Host:
		return coffer.E(coffer.KindUnsupported, op, "agent %s does not run restored servers", w.Agent).
			WithHint("name another agent, or restore files into a folder")
	case c.Lacks != "":
		return coffer.E(coffer.KindUnavailable, op, "agent %s: %s", w.Agent, c.Lacks).WithHint("mend that, or name another host")
	default:
		return coffer.E(coffer.KindNoSpace, op, "agent %s: %s", w.Agent, against(c, w)).WithHint("make room there, or name another host")
	}
}
