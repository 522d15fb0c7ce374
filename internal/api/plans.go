package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/rest"
)

// lookTimeout bounds the question to an agent, which only looks.
const lookTimeout = 15 * time.Second

func planLink(b coffer.Backup) rest.PlanLink {
	return rest.PlanLink{ID: b.ID, Name: b.Name, Type: b.Type, State: b.State, Sizes: b.Sizes, Encrypted: b.Key != ""}
}

// planRestore says what a restore would read, need and meet, and starts nothing.
func (a *api) planRestore(r request) (reply, error) {
	var in rest.PlanRestoreBody
	if err := ownBody(r.Request, &in); err != nil {
		return reply{}, err
	}
	t, err := checkTarget(r, in.Target)
	if err != nil {
		return reply{}, err
	}
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	chain, err := a.Records.Chain(r.Context(), b.Project, b.ID)
	broken := ""
	if coffer.IsKind(err, coffer.KindCorrupt) {
		chain, broken, err = []coffer.Backup{b}, err.Error(), nil
	}
	if err != nil {
		return reply{}, err
	}
	host, err := a.look(r, b.Project, chain, t)
	if err != nil {
		return reply{}, err
	}
	if broken != "" {
		host.Stops = append(host.Stops, broken)
	}
	return reply{http.StatusOK, rest.RestorePlanBody{Plan: restorePlanView(chain, t, plan.Restore(chain, host))}}, nil
}

// look asks the agent that would do it what it would meet there. That there is
// none, or that it does not answer, stops the restore and is no error.
func (a *api) look(r request, project coffer.ProjectID, chain []coffer.Backup, t coffer.Target) (plan.HostFacts, error) {
	agents, err := a.Records.Agents(r.Context())
	if err != nil {
		return plan.HostFacts{}, err
	}
	var sizes []coffer.Sizes
	var links []message.Link
	for _, b := range chain {
		sizes = append(sizes, b.Sizes)
		links = append(links, message.Link{Backup: b.ID, Store: b.Store, Container: b.Container, Key: b.Key})
	}
	agent := t.Agent
	if agent == "" {
		if agent, _, err = plan.Place(agents, 0, ""); err != nil {
			return plan.HostFacts{Stops: []string{err.Error()}}, nil
		}
	}
	ctx, stop := context.WithTimeout(r.Context(), lookTimeout)
	defer stop()
	seen, err := message.Look.Call(ctx, a.Bus, message.HostAgent(agent), message.LookArgs{
		Target: t, Need: plan.Need(sizes), Project: project, Chain: links,
	})
	if err != nil {
		return plan.HostFacts{Agent: agent, Dir: t.Dir, Stops: []string{"the agent does not answer: " + err.Error()}}, nil
	}
	return plan.HostFacts{Agent: agent, Dir: seen.Dir, Free: seen.Free, Tools: seen.Tools, Stops: seen.Stops}, nil
}

func restorePlanView(chain []coffer.Backup, t coffer.Target, p plan.RestorePlan) rest.RestorePlan {
	t.Agent = p.Agent
	out := rest.RestorePlan{
		Backup: chain[len(chain)-1].ID, Target: t, Dir: p.Dir, Method: p.Method, ReadBytes: p.ReadBytes, NeedBytes: p.NeedBytes, FreeBytes: p.FreeBytes,
		Tools: p.Tools, Stops: orEmpty(p.Stops), Warnings: p.Warnings, Chain: []rest.PlanLink{},
	}
	for _, b := range chain {
		out.Chain = append(out.Chain, planLink(b))
	}
	return out
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// planDelete says what a delete would take along, and starts nothing.
func (a *api) planDelete(r request) (reply, error) {
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	var below []coffer.Backup
	for next := []coffer.Backup{b}; len(next) > 0; next = next[1:] {
		children, err := a.Records.Children(r.Context(), next[0].ID)
		if err != nil {
			return reply{}, err
		}
		below, next = append(below, children...), append(next, children...)
		if len(below) > coffer.MaxChain {
			return reply{}, coffer.E(coffer.KindUnprocessable, "follow the children", "more than %d backups stand on %s", coffer.MaxChain, b.ID)
		}
	}
	p := plan.Delete(b, below, truthy(last(r.URL.Query(), "force")))
	out := rest.DeletePlan{Backup: b.ID, Deletes: []rest.PlanLink{}, Stops: []string{}}
	if p.Refused != "" {
		out.Stops = append(out.Stops, p.Refused)
	}
	for _, x := range p.Delete {
		out.Deletes = append(out.Deletes, planLink(x))
		out.FreeBytes += x.Sizes.Stored
	}
	return reply{http.StatusOK, rest.DeletePlanBody{Plan: out}}, nil
}
