package api

import (
	"context"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/internal/records"
)

const (
	// lookTimeout bounds the question to one agent, which only looks; aroundTimeout
	// to all that are asked for one plan.
	lookTimeout   = 15 * time.Second
	aroundTimeout = 20 * time.Second
	// maxLooks bounds how many agents are asked for one plan.
	maxLooks = 4
)

// candidates are all agents as the rows and this process's own ears know them.
func (a *api) candidates(ctx context.Context) ([]plan.Candidate, error) {
	agents, err := a.Records.Agents(ctx)
	if err != nil {
		return nil, err
	}
	running := map[coffer.AgentID]int{}
	for _, s := range []coffer.State{coffer.Building, coffer.Saving} {
		jobs, err := a.Records.Jobs(ctx, records.JobFilter{All: true, State: s, Limit: records.MaxPage})
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			if (j.Kind == coffer.JobBackup || j.Kind == coffer.JobRestore) && !j.Lost {
				running[j.Runner.Agent()]++
			}
		}
	}
	silence := a.heard.Listen(agents, time.Now())
	out := make([]plan.Candidate, len(agents))
	for i, g := range agents {
		out[i] = plan.Candidate{Agent: g, Silent: silence[g.ID], Running: running[g.ID]}
	}
	return out, nil
}

func (a *api) wish(chain []coffer.Backup, t coffer.Target) plan.Wish {
	w := plan.Wish{Need: plan.NeedOf(chain, t.Way), Agent: t.Agent, Files: !t.Server(), Cap: a.HostCap}
	if t.Chosen {
		w.Agent = ""
	}
	return w
}

// lookAround asks the best agent what a restore would meet there, and the next one
// if that stops it. That there is none, or that none answers, stops the restore and
// is no error.
func (a *api) lookAround(r request, project coffer.ProjectID, chain []coffer.Backup, t coffer.Target) (plan.HostFacts, plan.Placement, error) {
	all, err := a.candidates(r.Context())
	if err != nil {
		return plan.HostFacts{}, plan.Placement{}, err
	}
	ctx, stop := context.WithTimeout(r.Context(), aroundTimeout)
	defer stop()
	w := a.wish(chain, t)
	var first *plan.HostFacts
	for range maxLooks {
		p, err := plan.Place(all, w)
		switch {
		case w.Agent != "":
			return a.look(ctx, w.Agent, project, chain, t, w.Need), p, nil
		case err != nil && first != nil:
			return *first, p, nil
		case err != nil:
			return plan.HostFacts{Stops: []string{err.Error()}}, p, nil
		}
		facts := a.look(ctx, p.Agent, project, chain, t, w.Need)
		if len(facts.Stops) == 0 {
			return facts, p, nil
		}
		if first == nil {
			first = &facts
		}
		for i := range all {
			if all[i].Agent.ID == p.Agent {
				all[i].Lacks = strings.Join(facts.Stops, "; ")
			}
		}
	}
	p, _ := plan.Place(all, w) // for what it has considered
	p.Why = ""
	return *first, p, nil
}

func (a *api) look(ctx context.Context, agent coffer.AgentID, project coffer.ProjectID, chain []coffer.Backup, t coffer.Target, need int64) plan.HostFacts {
	conn, err := a.tableConn(ctx, project, t)
	if err != nil {
		return plan.HostFacts{Agent: agent, Stops: []string{err.Error()}}
	}
	ctx, stop := context.WithTimeout(ctx, lookTimeout)
	defer stop()
	seen, err := message.Look.Call(ctx, a.Bus, message.HostAgent(agent), message.LookArgs{
		Target: t, Need: need, Project: project, Chain: links(chain), Conn: conn,
	})
	if err != nil {
		return plan.HostFacts{Agent: agent, Dir: t.Dir, Stops: []string{"the agent does not answer: " + err.Error()}}
	}
	return plan.HostFacts{Agent: agent, Dir: seen.Dir, Free: seen.Free, Tools: seen.Tools, Stops: seen.Stops, Read: seen.Read, Need: seen.Need}
}

// placed names the agent of a restore for which nobody has named one. If none can
// be now, a server's restore waits for one: the task manager places it. A chain that
// cannot be restored in the way that was asked for is refused.
func (a *api) placed(r request, b coffer.Backup, t coffer.Target) (coffer.Target, error) {
	chain, err := a.Records.Chain(r.Context(), b.Project, b.ID)
	if err != nil {
		return t, nil // the job's own check says what is wrong with the chain
	}
	if t.Table == nil {
		if _, _, err := plan.Way(chain, t.Way); err != nil {
			return t, err
		}
	}
	if t.Agent != "" {
		return t, nil
	}
	all, err := a.candidates(r.Context())
	if err != nil {
		return t, err
	}
	p, err := plan.Place(all, a.wish(chain, t))
	if !t.Server() && err != nil {
		return t, err
	}
	if err == nil {
		t.Agent, t.Chosen = p.Agent, t.Server()
	}
	return t, nil
}
