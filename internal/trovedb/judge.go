package trovedb

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/trovestore"
)

// Rules are what decides beside the rows.
type Rules struct {
	Store       string // the configured store of kind swift that reads the objects
	AnyAccount  bool   // take backups, too, that do not lie in the account of their project
	OnlyProject coffer.ProjectID
}

// Left is something that cannot be taken, and why.
type Left struct {
	What string `json:"what"` // "backup", "strategy" or "quota"
	ID   string `json:"id"`
	Why  string `json:"why"`
}

// Plan is what there is to take; parents come before what stands on them.
type Plan struct {
	Backups    []records.NewImport
	Strategies []coffer.Strategy
	Quotas     []Quota
	Left       []Left
}

// Quota is a project's quota of backups.
type Quota struct {
	Project coffer.ProjectID
	Backups int
}

// Judge sorts what a database holds into what can be taken and what cannot.
func Judge(c Content, r Rules) (p Plan) {
	j := &judge{rules: r, versions: c.Versions, rows: map[string]Row{}, state: map[string]int{}, plan: &p}
	for _, row := range c.Backups {
		j.rows[row["id"]] = row
	}
	for _, row := range c.Backups {
		if j.mine(row["tenant_id"]) {
			j.backup(row, 0)
		}
	}
	for _, row := range c.Strategies {
		j.strategy(row)
	}
	for _, row := range c.Quotas {
		j.quota(row)
	}
	return p
}

type judge struct {
	rules    Rules
	versions map[string]coffer.Datastore
	rows     map[string]Row
	state    map[string]int // of each backup: looked at, taken or left
	plan     *Plan
}

const (
	looking = iota + 1
	taken
	left
)

func (j *judge) mine(tenant string) bool {
	return j.rules.OnlyProject == "" || tenant == string(j.rules.OnlyProject)
}

// backup takes a backup after what it stands on, or says why not.
func (j *judge) backup(row Row, depth int) bool {
	id := row["id"]
	switch j.state[id] {
	case taken:
		return true
	case left, looking: // a backup that stands on itself
		return false
	}
	j.state[id] = looking
	n, why := j.look(row)
	if why == "" && row["parent_id"] != "" {
		parent, known := j.rows[row["parent_id"]]
		switch {
		case !known:
			why = "what it stands on, " + row["parent_id"] + ", is deleted or not there"
		case depth >= coffer.MaxChain:
			why = "its chain is too long"
		case parent["tenant_id"] != row["tenant_id"]:
			why = "what it stands on is another project's"
		case !j.backup(parent, depth+1):
			why = "what it stands on, " + row["parent_id"] + ", cannot be taken"
		}
	}
	if why != "" {
		j.state[id] = left
		j.leave("backup", id, why)
		return false
	}
	j.state[id] = taken
	j.plan.Backups = append(j.plan.Backups, n)
	return true
}

func (j *judge) leave(what, id, why string) {
	j.plan.Left = append(j.plan.Left, Left{what, clip(id, 255), clip(why, 500)})
}

// look is a backup's row as an import, or why it cannot be one.
func (j *judge) look(row Row) (n records.NewImport, why string) {
	project := coffer.ProjectID(row["tenant_id"])
	switch state := coffer.State(row["state"]); {
	case !coffer.IsUUID(row["id"]):
		return n, "its id is no UUID"
	case !project.Valid():
		return n, fmt.Sprintf("its project %.80q is none", project)
	case state.Running():
		return n, "it is " + string(state) + " in Trove"
	case !state.Usable():
		return n, fmt.Sprintf("it is %.40s in Trove", state)
	case row["location"] == "":
		return n, "Trove does not say where it lies"
	}
	l, err := trovestore.ParseLocation(row["location"])
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		return n, err.Error()
	}
	if !l.Of(project) && !j.rules.AnyAccount {
		return n, fmt.Sprintf("it lies in account %.80q, which is not its project's", l.AccountName())
	}
	ds, known := j.versions[row["datastore_version_id"]]
	if !known {
		return n, "its datastore's version is not there"
	}
	size, err := strconv.ParseFloat(row["size"], 64)
	if err != nil || !(size >= 0 && size < 1<<20) {
		size = 0
	}
	n = records.NewImport{
		ID: coffer.BackupID(strings.ToLower(row["id"])), Project: project, Instance: coffer.InstanceID(row["instance_id"]),
		Name: clip(row["name"], 255), Parent: coffer.BackupID(strings.ToLower(row["parent_id"])), Datastore: ds, Store: j.rules.Store,
		Container: l.Container, Location: row["location"], Checksum: strings.ToLower(strings.Trim(row["checksum"], `"`)),
		Size: int64(math.Round(size * (1 << 30))), Created: moment(row["created"]), Quota: -1,
	}
	if n.Instance != "" && !coffer.IsUUID(string(n.Instance)) {
		return n, "its instance's id is no UUID"
	}
	if d := row["description"]; d != "" {
		d = clip(d, 512)
		n.Description = &d
	}
	return n, ""
}

func (j *judge) strategy(row Row) {
	s := coffer.Strategy{
		Project: coffer.ProjectID(row["tenant_id"]), Instance: coffer.InstanceID(row["instance_id"]),
		Backend: row["backend"], Container: row["swift_container"],
	}
	id := string(s.Project) + "/" + string(s.Instance)
	switch {
	case !j.mine(row["tenant_id"]):
	case !s.Project.Valid() || s.Instance != "" && !coffer.IsUUID(string(s.Instance)):
		j.leave("strategy", id, "its project or instance is none")
	case s.Container == "" || len(s.Container) > 255:
		j.leave("strategy", id, "it names no container")
	case s.Backend != "swift":
		j.leave("strategy", id, fmt.Sprintf("its backend is %.40q", s.Backend))
	default:
		j.plan.Strategies = append(j.plan.Strategies, s)
	}
}

func (j *judge) quota(row Row) {
	q := Quota{Project: coffer.ProjectID(row["tenant_id"])}
	n, err := strconv.Atoi(row["hard_limit"])
	switch {
	case !j.mine(row["tenant_id"]):
	case !q.Project.Valid() || err != nil || n < -1:
		j.leave("quota", row["tenant_id"], fmt.Sprintf("%.40q is no quota of a project", row["hard_limit"]))
	default:
		q.Backups = n
		j.plan.Quotas = append(j.plan.Quotas, q)
	}
}

// clip bounds a text in bytes, at a letter's end.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
