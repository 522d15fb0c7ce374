package api

import (
	"net/http"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/rest"
)

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
	if t, err = a.tableTarget(r, b, t); err != nil {
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
	host, p, err := a.lookAround(r, b.Project, chain, t)
	if err != nil {
		return reply{}, err
	}
	if broken != "" {
		host.Stops = append(host.Stops, broken)
	}
	would := plan.Restore(chain, host, t.Way)
	if t.Table != nil {
		would = plan.Table(chain, host)
	}
	out := restorePlanView(chain, t, would)
	out.Why = p.Why
	for _, c := range p.Considered {
		if c.Agent != host.Agent {
			out.Others = append(out.Others, rest.PlanAgent{ID: c.Agent, FreeBytes: c.Free, Running: c.Running, Reason: c.Reason})
		}
	}
	return reply{http.StatusOK, rest.RestorePlanBody{Plan: out}}, nil
}

func restorePlanView(chain []coffer.Backup, t coffer.Target, p plan.RestorePlan) rest.RestorePlan {
	t.Agent, t.Chosen = p.Agent, t.Server() && (t.Agent == "" || t.Chosen)
	out := rest.RestorePlan{
		Backup: chain[len(chain)-1].ID, Target: t, Dir: p.Dir, Method: p.Method, Reason: p.Reason, ReadBytes: p.ReadBytes, NeedBytes: p.NeedBytes, FreeBytes: p.FreeBytes,
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
