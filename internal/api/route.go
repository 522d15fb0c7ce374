package api

import "net/http"

// route is one method on one address. Two addresses of Trove's that a router
// cannot tell apart share one; docs are then what they are called.
type route struct {
	method, path string
	do           handler
	docs         []string
}

// pattern is the route for the mux.
func (rt route) pattern() string { return rt.method + " " + rt.path }

// routes is the whole table. The wildcard {project} has been compared with the
// caller's project before a route is looked for.
func (a *api) routes() []route {
	return append(troveRoutes(), ownRoutes()...)
}

func troveRoutes() []route {
	const p = trovePrefix + "/{project}"
	return []route{
		{http.MethodGet, p + "/backups", (*api).backupList, nil},
		{http.MethodPost, p + "/backups", (*api).backupCreate, nil},
		{http.MethodGet, p + "/backups/{id}", (*api).backupShow, nil},
		{http.MethodDelete, p + "/backups/{id}", (*api).backupDelete, nil},
		{http.MethodGet, p + "/backup_strategies", (*api).strategyList, nil},
		{http.MethodPost, p + "/backup_strategies", (*api).strategyCreate, nil},
		{http.MethodDelete, p + "/backup_strategies", (*api).strategyDelete, nil},
		{http.MethodGet, p + "/instances", (*api).instanceList, nil},
		{http.MethodPost, p + "/instances", (*api).instanceCreate, nil},
		{http.MethodGet, p + "/instances/detail", (*api).instanceDetail, nil},
		{http.MethodGet, p + "/instances/{id}", (*api).instanceShow, nil},
		{http.MethodDelete, p + "/instances/{id}", (*api).instanceDelete, nil},
		{http.MethodGet, p + "/instances/{id}/backups", (*api).backupsOfInstance, nil},
		{http.MethodPost, p + "/instances/{id}/action", (*api).instanceAction, nil},
		{http.MethodGet, p + "/datastores", (*api).datastoreList, nil},
		{http.MethodGet, p + "/datastores/{datastore}", (*api).datastoreShow, nil},
		{http.MethodGet, p + "/datastores/{datastore}/{version}", (*api).versionsUnder, []string{
			p + "/datastores/{datastore}/versions", p + "/datastores/versions/{version}",
		}},
		{http.MethodGet, p + "/datastores/{datastore}/versions/{version}", (*api).versionShow, nil},
		{http.MethodGet, p + "/flavors", (*api).flavorList, nil},
		{http.MethodGet, p + "/flavors/{id}", (*api).flavorShow, nil},
		{http.MethodGet, p + "/limits", (*api).limitList, nil},
	}
}

func ownRoutes() []route {
	const p = ownPrefix + "/{project}"
	return []route{
		{http.MethodGet, p + "/jobs", (*api).jobList, nil},
		{http.MethodGet, p + "/jobs/{id}", (*api).jobShow, nil},
		{http.MethodPost, p + "/jobs/{id}/cancel", (*api).jobCancel, nil},
		{http.MethodGet, p + "/jobs/{id}/events", (*api).jobEvents, nil},
		{http.MethodGet, p + "/backups/{id}", (*api).ownBackup, nil},
		{http.MethodDelete, p + "/backups/{id}", (*api).ownDelete, nil},
		{http.MethodPost, p + "/backups/{id}/verify", (*api).backupVerify, nil},
		{http.MethodPost, p + "/backups/{id}/synthesize", (*api).backupSynthesize, nil},
		{http.MethodGet, p + "/backups/{id}/tables", (*api).backupTables, nil},
		{http.MethodPost, p + "/backups/{id}/plan-restore", (*api).planRestore, nil},
		{http.MethodGet, p + "/backups/{id}/plan-delete", (*api).planDelete, nil},
		{http.MethodPost, p + "/restores", (*api).restoreCreate, nil},
		{http.MethodGet, p + "/instances", (*api).ownInstances, nil},
		{http.MethodPost, p + "/instances", (*api).register, nil},
		{http.MethodGet, p + "/instances/{id}", (*api).ownInstance, nil},
		{http.MethodPost, p + "/joins", (*api).invite, nil},
		{http.MethodGet, p + "/agents", (*api).agentList, nil},
		{http.MethodDelete, p + "/agents/{id}", (*api).dismiss, nil},
		{http.MethodPost, p + "/sweep", (*api).sweep, nil},
	}
}
