package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/rest"
)

// lookTimeout bounds the question to an agent, which only looks.
const lookTimeout = 15 * time.Second

func planLink(b coffer.Backup) rest.PlanLink {
	return rest.PlanLink{ID: b.ID, Name: b.Name, Type: b.Type, State: b.State, Sizes: b.Sizes}
}

// planRestore says what a restore would read, need and meet, and starts nothing.
func (a *api) planRestore(r request) (reply, error) {
	var in rest.PlanRestoreBody
	if err := ownBody(r.Request, &in); err != nil {
		return reply{}, err
	}
	t, err := checkTarget(in.Target)
	if err != nil {
		return reply{}, err
	}
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	p := rest.RestorePlan{Backup: b.ID, Target: t, Chain: []rest.PlanLink{}, Stops: []string{}}
	chain, err := a.Records.Chain(r.Context(), b.Project, b.ID)
	switch {
	case coffer.IsKind(err, coffer.KindCorrupt):
		p.Stops = append(p.Stops, err.Error())
		chain = []coffer.Backup{b}
	case err != nil:
		return reply{}, err
	default:
		if err := coffer.CheckChain(chain); err != nil {
			p.Stops = append(p.Stops, err.Error())
		}
	}
	for _, link := range chain {
		p.Chain = append(p.Chain, planLink(link))
		p.ReadBytes += link.Sizes.Stored
	}
	p.NeedBytes = needBytes(chain)
	if err := a.look(r, &p); err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, rest.RestorePlanBody{Plan: p}}, nil
}

// needBytes is the space that a restore takes at its height: the data, and beside
// it one increment after the other while it is applied.
func needBytes(chain []coffer.Backup) int64 {
	var data, delta int64
	for i, b := range chain {
		data = max(data, b.Sizes.Data)
		if i > 0 {
			delta = max(delta, b.Sizes.Plain)
		}
	}
	return data + delta
}

// look asks the agent that would do it what it would meet there.
func (a *api) look(r request, p *rest.RestorePlan) error {
	agents, err := a.Records.Agents(r.Context())
	if err != nil {
		return err
	}
	if p.Target.Agent == "" {
		p.Target.Agent = roomiest(agents)
	}
	if p.Target.Agent == "" {
		p.Stops = append(p.Stops, "there is no agent that runs restored databases")
		return nil
	}
	ctx, stop := context.WithTimeout(r.Context(), lookTimeout)
	defer stop()
	seen, err := message.Look.Call(ctx, a.Bus, message.HostAgent(p.Target.Agent), message.LookArgs{Target: p.Target, Need: p.NeedBytes})
	if err != nil {
		p.Stops = append(p.Stops, "the agent does not answer: "+err.Error())
		return nil
	}
	p.FreeBytes, p.Tools = seen.Free, seen.Tools
	p.Stops = append(p.Stops, seen.Stops...)
	if p.FreeBytes < p.NeedBytes {
		p.Stops = append(p.Stops, fmt.Sprintf("%d bytes are needed and %d are free", p.NeedBytes, p.FreeBytes))
	}
	return nil
}

// roomiest is the host agent with the most free space, or "".
func roomiest(agents []coffer.Agent) (best coffer.AgentID) {
	free := int64(-1)
	for _, g := range agents {
		if g.Host && g.Free > free {
			best, free = g.ID, g.Free
		}
	}
	return best
}

// planDelete says what a delete would take along, and starts nothing.
func (a *api) planDelete(r request) (reply, error) {
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	force := truthy(last(r.URL.Query(), "force"))
	tree := []coffer.Backup{b}
	for i := 0; i < len(tree); i++ {
		children, err := a.Records.Children(r.Context(), tree[i].ID)
		if err != nil {
			return reply{}, err
		}
		tree = append(tree, children...)
		if len(tree) > coffer.MaxChain {
			return reply{}, coffer.E(coffer.KindUnprocessable, "follow the children", "more than %d backups stand on %s", coffer.MaxChain, b.ID)
		}
	}
	p := rest.DeletePlan{Backup: b.ID, Deletes: []rest.PlanLink{}, Stops: []string{}}
	if len(tree) > 1 && !force {
		p.Stops = append(p.Stops, fmt.Sprintf("%d backups stand on it; force takes them along", len(tree)-1))
	}
	for i := len(tree) - 1; i >= 0; i-- {
		x := tree[i]
		if i > 0 && !force {
			continue
		}
		p.Deletes = append(p.Deletes, planLink(x))
		p.FreeBytes += x.Sizes.Stored
		if x.State.Running() {
			p.Stops = append(p.Stops, fmt.Sprintf("backup %s is %s", x.ID, x.State))
		}
		if x.Pins > 0 {
			p.Stops = append(p.Stops, fmt.Sprintf("backup %s is being read", x.ID))
		}
	}
	return reply{http.StatusOK, rest.DeletePlanBody{Plan: p}}, nil
}
