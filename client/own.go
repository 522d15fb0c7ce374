package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// JobQuery chooses jobs, the newest first. The zero value is the first page of
// the project's.
type JobQuery struct {
	Kind          coffer.JobKind
	State         coffer.State
	Instance      coffer.InstanceID
	Backup        coffer.BackupID
	AllProjects   bool // admins only
	Offset, Limit int
}

// Jobs is one page of jobs.
func (c *Client) Jobs(ctx context.Context, q JobQuery) (rest.Jobs, error) {
	v := url.Values{}
	set(v, "kind", string(q.Kind))
	set(v, "state", string(q.State))
	set(v, "instance", string(q.Instance))
	set(v, "backup", string(q.Backup))
	if q.AllProjects {
		v.Set("all_projects", "true")
	}
	setNumber(v, "marker", q.Offset)
	setNumber(v, "limit", q.Limit)
	var out rest.Jobs
	err := c.do(ctx, "list jobs", call{method: http.MethodGet, path: "/jobs", own: true, query: v}, &out)
	return out, err
}

// Job is one job.
func (c *Client) Job(ctx context.Context, j coffer.JobID) (rest.Job, error) {
	var out rest.JobBody
	err := c.do(ctx, "show the job", call{method: http.MethodGet, path: "/jobs" + id(j), own: true}, &out)
	return out.Job, err
}

// Cancel asks a job to stop; KindConflict when it is too late.
func (c *Client) Cancel(ctx context.Context, j coffer.JobID) (rest.Job, error) {
	var out rest.JobBody
	err := c.do(ctx, "cancel the job", call{method: http.MethodPost, path: "/jobs" + id(j) + "/cancel", own: true}, &out)
	return out.Job, err
}

// BackupDetail is what Trove has no words for about a backup, and its chain.
func (c *Client) BackupDetail(ctx context.Context, b coffer.BackupID) (rest.BackupBody, error) {
	var out rest.BackupBody
	err := c.do(ctx, "show the backup", call{method: http.MethodGet, path: "/backups" + id(b), own: true}, &out)
	return out, err
}

// DeleteBackup starts the delete of a backup; force takes along what stands on it.
func (c *Client) DeleteBackup(ctx context.Context, b coffer.BackupID, force bool) (rest.Started, error) {
	var out rest.Started
	err := c.do(ctx, "delete the backup", call{method: http.MethodDelete, path: "/backups" + id(b), own: true, query: forced(force)}, &out)
	return out, err
}

// PlanDelete says what DeleteBackup would do.
func (c *Client) PlanDelete(ctx context.Context, b coffer.BackupID, force bool) (rest.DeletePlan, error) {
	var out rest.DeletePlanBody
	err := c.do(ctx, "plan the delete", call{
		method: http.MethodGet, path: "/backups" + id(b) + "/plan-delete", own: true, query: forced(force),
	}, &out)
	return out.Plan, err
}

// Verify starts a job that reads every stored byte of a backup.
func (c *Client) Verify(ctx context.Context, b coffer.BackupID) (rest.Started, error) {
	var out rest.Started
	err := c.do(ctx, "verify the backup", call{method: http.MethodPost, path: "/backups" + id(b) + "/verify", own: true}, &out)
	return out, err
}

// PlanRestore says what Restore would do.
func (c *Client) PlanRestore(ctx context.Context, b coffer.BackupID, t coffer.Target) (rest.RestorePlan, error) {
	var out rest.RestorePlanBody
	err := c.do(ctx, "plan the restore", call{
		method: http.MethodPost, path: "/backups" + id(b) + "/plan-restore", own: true, body: rest.PlanRestoreBody{Target: t},
	}, &out)
	return out.Plan, err
}

// Restore starts a restore into a folder or a new instance.
func (c *Client) Restore(ctx context.Context, r rest.Restore) (rest.Started, error) {
	var out rest.Started
	err := c.do(ctx, "restore the backup", call{method: http.MethodPost, path: "/restores", own: true, body: rest.RestoreBody{Restore: r}}, &out)
	return out, err
}

// Register makes an agent look after a running database.
func (c *Client) Register(ctx context.Context, r rest.Register) (rest.InstanceBody, error) {
	var out rest.InstanceBody
	err := c.do(ctx, "register the instance", call{method: http.MethodPost, path: "/instances", own: true, body: rest.RegisterBody{Instance: r}}, &out)
	return out, err
}

// Instances is one page of instances, in the order of their ids.
func (c *Client) Instances(ctx context.Context, after coffer.InstanceID) (rest.Instances, error) {
	v := url.Values{}
	set(v, "marker", string(after))
	var out rest.Instances
	err := c.do(ctx, "list instances", call{method: http.MethodGet, path: "/instances", own: true, query: v}, &out)
	return out, err
}

// Instance is one instance with all that is known of it.
func (c *Client) Instance(ctx context.Context, in coffer.InstanceID) (rest.Instance, error) {
	var out rest.InstanceBody
	err := c.do(ctx, "show the instance", call{method: http.MethodGet, path: "/instances" + id(in), own: true}, &out)
	return out.Instance, err
}

// Agents lists the agents that the server has heard of.
func (c *Client) Agents(ctx context.Context) ([]rest.Agent, error) {
	var out rest.Agents
	err := c.do(ctx, "list agents", call{method: http.MethodGet, path: "/agents", own: true}, &out)
	return out.Agents, err
}

// Sweep looks over the stores at once; an admin's.
func (c *Client) Sweep(ctx context.Context) (rest.Sweep, error) {
	var out rest.SweepBody
	err := c.do(ctx, "sweep the stores", call{method: http.MethodPost, path: "/sweep", own: true}, &out)
	return out.Sweep, err
}

func forced(force bool) url.Values {
	if !force {
		return nil
	}
	return url.Values{"force": {"true"}}
}
