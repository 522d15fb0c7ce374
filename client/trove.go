package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/trove"
)

// CreateBackup asks for a backup. key makes a repeated request safe; "" takes a
// new one.
func (c *Client) CreateBackup(ctx context.Context, b trove.BackupCreate, key string) (trove.Backup, error) {
	if key == "" {
		key = coffer.NewUUID()
	}
	var out trove.BackupBody
	err := c.do(ctx, "create the backup", call{
		method: http.MethodPost, path: "/backups", body: trove.BackupCreateBody{Backup: b}, key: key,
	}, &out)
	return out.Backup, err
}

// Backup is one backup as Trove shows it.
func (c *Client) Backup(ctx context.Context, b coffer.BackupID) (trove.Backup, error) {
	var out trove.BackupBody
	err := c.do(ctx, "show the backup", call{method: http.MethodGet, path: "/backups" + id(b)}, &out)
	return out.Backup, err
}

// BackupQuery chooses backups. The zero value is the first page of the project's.
type BackupQuery struct {
	Instance    coffer.InstanceID
	Datastore   string
	AllProjects bool // admins only
	Offset      int
	Limit       int // 0 is the server's
}

// Backups is one page of backups, the last updated first. next is the offset of
// the following page, or -1.
func (c *Client) Backups(ctx context.Context, q BackupQuery) (page []trove.Backup, next int, err error) {
	v := url.Values{}
	set(v, "instance_id", string(q.Instance))
	set(v, "datastore", q.Datastore)
	if q.AllProjects {
		v.Set("all_projects", "true")
	}
	setNumber(v, "marker", q.Offset)
	setNumber(v, "limit", q.Limit)
	var out trove.Backups
	if err := c.do(ctx, "list backups", call{method: http.MethodGet, path: "/backups", query: v}, &out); err != nil {
		return nil, -1, err
	}
	next, err = strconv.Atoi(marker(out.Links))
	if err != nil {
		next = -1
	}
	return out.Backups, next, nil
}

// Datastores are the products that the server knows, with their versions.
func (c *Client) Datastores(ctx context.Context) ([]trove.DatastoreItem, error) {
	var out trove.Datastores
	err := c.do(ctx, "list datastores", call{method: http.MethodGet, path: "/datastores"}, &out)
	return out.Datastores, err
}

// Strategies lists the project's strategies.
func (c *Client) Strategies(ctx context.Context) ([]trove.BackupStrategy, error) {
	var out trove.BackupStrategies
	err := c.do(ctx, "list strategies", call{method: http.MethodGet, path: "/backup_strategies"}, &out)
	return out.BackupStrategies, err
}

// PutStrategy sets the container of future backups of an instance, or with "" of
// the project.
func (c *Client) PutStrategy(ctx context.Context, instance coffer.InstanceID, container string) (trove.BackupStrategy, error) {
	var out trove.BackupStrategyBody
	err := c.do(ctx, "set the strategy", call{method: http.MethodPost, path: "/backup_strategies", body: trove.BackupStrategyCreateBody{
		BackupStrategy: trove.BackupStrategyCreate{SwiftContainer: container, InstanceID: string(instance)},
	}}, &out)
	return out.BackupStrategy, err
}

// DeleteStrategy removes an instance's strategy, or with "" the project's.
func (c *Client) DeleteStrategy(ctx context.Context, instance coffer.InstanceID) error {
	v := url.Values{}
	set(v, "instance_id", string(instance))
	return c.do(ctx, "remove the strategy", call{method: http.MethodDelete, path: "/backup_strategies", query: v}, nil)
}

// TroveInstances is one page of instances as Trove shows them. next is the marker
// of the following page, or "".
func (c *Client) TroveInstances(ctx context.Context, after coffer.InstanceID) (page []trove.Instance, next coffer.InstanceID, err error) {
	v := url.Values{}
	set(v, "marker", string(after))
	var out trove.Instances
	err = c.do(ctx, "list instances", call{method: http.MethodGet, path: "/instances/detail", query: v}, &out)
	return out.Instances, coffer.InstanceID(marker(out.Links)), err
}

// TroveInstance is one instance as Trove shows it.
func (c *Client) TroveInstance(ctx context.Context, in coffer.InstanceID) (trove.Instance, error) {
	var out trove.InstanceBody
	err := c.do(ctx, "show the instance", call{method: http.MethodGet, path: "/instances" + id(in)}, &out)
	return out.Instance, err
}

// CreateInstance makes an instance of a backup, Trove's way.
func (c *Client) CreateInstance(ctx context.Context, in trove.InstanceCreate) (trove.Instance, error) {
	var out trove.InstanceBody
	err := c.do(ctx, "create the instance", call{method: http.MethodPost, path: "/instances", body: trove.InstanceCreateBody{Instance: in}}, &out)
	return out.Instance, err
}

// DeleteInstance forgets an instance, and ends its server if a restore had made
// it. Its backups are kept.
func (c *Client) DeleteInstance(ctx context.Context, in coffer.InstanceID) error {
	return c.do(ctx, "delete the instance", call{method: http.MethodDelete, path: "/instances" + id(in)}, nil)
}

// ResetStatus stops whatever runs on an instance; an admin's.
func (c *Client) ResetStatus(ctx context.Context, in coffer.InstanceID) error {
	return c.do(ctx, "reset the instance's status", call{
		method: http.MethodPost, path: "/instances" + id(in) + "/action", body: map[string]any{"reset_status": struct{}{}},
	}, nil)
}

func set(v url.Values, key, value string) {
	if value != "" {
		v.Set(key, value)
	}
}

func setNumber(v url.Values, key string, n int) {
	if n > 0 {
		v.Set(key, strconv.Itoa(n))
	}
}

// marker is the marker of the next page in a list's links, or "".
func marker(links []trove.NextLink) string {
	for _, l := range links {
		if l.Rel != "next" {
			continue
		}
		if u, err := url.Parse(l.Href); err == nil {
			return u.Query().Get("marker")
		}
	}
	return ""
}
