package plan

import (
	"fmt"
	"time"

	"github.com/cofferdb/coffer"
)

// silent is how much longer than another an agent may have been unheard before it
// is passed over.
const silent = 3 * coffer.HeartbeatEvery

// Place chooses the agent on which a restored server is made: want if it is named,
// else the one with the most room among those heard lately. need is in bytes. why
// says how it was chosen.
func Place(agents []coffer.Agent, need int64, want coffer.AgentID) (id coffer.AgentID, why string, err error) {
	const op = "choose a host"
	if want != "" {
		return placeOn(agents, need, want)
	}
	var last time.Time
	for _, a := range agents {
		if a.Seen.After(last) {
			last = a.Seen
		}
	}
	var best *coffer.Agent
	hosts := 0
	for i, a := range agents {
		if !a.Host || last.Sub(a.Seen) > silent {
			continue
		}
		hosts++
		if best == nil || a.Free > best.Free || a.Free == best.Free && a.ID < best.ID {
			best = &agents[i]
		}
	}
	if best == nil {
		return "", "", coffer.E(coffer.KindUnavailable, op, "no agent that runs restored servers is heard").
			WithHint("start an agent with hosting on, or restore files into a folder")
	}
	if best.Free < need {
		return "", "", noRoom(*best, need)
	}
	if hosts == 1 {
		return best.ID, "the only host", nil
	}
	return best.ID, fmt.Sprintf("the most room of %d hosts", hosts), nil
}

func placeOn(agents []coffer.Agent, need int64, want coffer.AgentID) (coffer.AgentID, string, error) {
	const op = "choose a host"
	for _, a := range agents {
		switch {
		case a.ID != want:
			continue
		case !a.Host:
			return "", "", coffer.E(coffer.KindUnsupported, op, "agent %s does not run restored servers", want).
				WithHint("name another agent, or restore files into a folder")
		case a.Free < need:
			return "", "", noRoom(a, need)
		}
		return a.ID, "as asked", nil
	}
	return "", "", coffer.E(coffer.KindNotFound, op, "no agent %s", want).WithHint("name one that is running")
}

func noRoom(a coffer.Agent, need int64) error {
	return coffer.E(coffer.KindNoSpace, "choose a host", "agent %s has %d bytes free in %s and the restore needs %d", a.ID, a.Free, a.DataDir, need).
		WithHint("make room there, or name another host")
}
