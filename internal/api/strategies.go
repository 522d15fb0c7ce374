package api

import (
	"net/http"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/trove"
)

func strategyView(s coffer.Strategy) trove.BackupStrategy {
	return trove.BackupStrategy{
		ProjectID: string(s.Project), InstanceID: string(s.Instance), Backend: s.Backend, SwiftContainer: s.Container,
	}
}

func (a *api) strategyCreate(r request) (reply, error) {
	o, err := a.shaped(r, a.schemas.strategy, "backup_strategy")
	if err != nil {
		return reply{}, err
	}
	s := coffer.Strategy{
		Project: r.project(), Instance: coffer.InstanceID(o.str("instance_id")),
		Backend: "swift", Container: o.str("swift_container"),
	}
	if !walled(s.Container) {
		return reply{}, coffer.E(coffer.KindInvalid, "", "The value is not allowed: %s.", s.Container)
	}
	if err := a.Records.PutStrategy(r.Context(), s); err != nil {
		return reply{}, err
	}
	return reply{http.StatusAccepted, trove.BackupStrategyBody{BackupStrategy: strategyView(s)}}, nil
}

// strategyProject is the project whose strategies are meant: another than the
// caller's only for an admin.
func strategyProject(r request) (coffer.ProjectID, error) {
	q := r.URL.Query()
	if !q.Has("project_id") {
		return r.project(), nil
	}
	p := coffer.ProjectID(last(q, "project_id"))
	if p != r.project() && !r.caller.Admin {
		return "", refusal(http.StatusForbidden, trove.Forbidden, "Operation not allowed for tenant "+string(r.project())+".")
	}
	return p, nil
}

func (a *api) strategyList(r request) (reply, error) {
	p, err := strategyProject(r)
	if err != nil {
		return reply{}, err
	}
	var instance *coffer.InstanceID
	if id := coffer.InstanceID(last(r.URL.Query(), "instance_id")); id != "" {
		instance = &id
	}
	rows, err := a.Records.Strategies(r.Context(), p, instance)
	if err != nil {
		return reply{}, err
	}
	out := trove.BackupStrategies{BackupStrategies: []trove.BackupStrategy{}}
	for _, s := range rows {
		out.BackupStrategies = append(out.BackupStrategies, strategyView(s))
	}
	return reply{http.StatusOK, out}, nil
}

func (a *api) strategyDelete(r request) (reply, error) {
	p, err := strategyProject(r)
	if err != nil {
		return reply{}, err
	}
	if err := a.Records.DeleteStrategy(r.Context(), p, coffer.InstanceID(last(r.URL.Query(), "instance_id"))); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusAccepted}, nil
}
