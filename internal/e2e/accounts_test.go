package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/trove"
)

// tenant is one project's view of a world: its own token, database and backups.
type tenant struct {
	*world
	project coffer.ProjectID
	token   auth.Entry     // of an administrator, who registers
	member  *client.Client // anybody of the project
}

// tenants are two projects of one server, which knows them by a file of tokens.
func (w *world) tenants(section string, projects [2]string, dbs [2]*database) (out [2]*tenant, config string) {
	w.t.Helper()
	var lines []string
	for i, p := range projects {
		own := *w
		own.db, own.begun, own.made = dbs[i], map[coffer.BackupID]time.Time{}, nil
		out[i] = &tenant{world: &own, project: coffer.ProjectID(p), token: auth.Entry{Token: coffer.NewNonce(), Project: coffer.ProjectID(p), User: "u", Roles: []string{auth.AdminRole}}}
		b, err := json.Marshal(out[i].token)
		if err != nil {
			w.t.Fatal(err)
		}
		member, err := json.Marshal(auth.Entry{Token: "member-of-" + p, Project: coffer.ProjectID(p), User: "m", Roles: []string{"member"}})
		if err != nil {
			w.t.Fatal(err)
		}
		lines = append(lines, string(b)+"\n", string(member)+"\n")
		file := filepath.Join(w.dir, fmt.Sprint("token", i))
		w.write(file, string(b)+"\n")
		own.env = append(slices.Clone(w.env), "COFFER_TOKEN_FILE="+file)
	}
	w.write(filepath.Join(w.dir, "tokens"), strings.Join(lines, ""))
	config = filepath.Join(w.dir, "coffer.toml")
	w.write(config, fmt.Sprintf("[api]\ntokens_file = %q\n[stores.far]\n%s", filepath.Join(w.dir, "tokens"), section))
	return out, config
}

func (w *world) write(path, text string) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// begins starts the server, for these tenants.
func (w *world) begins(config string, all [2]*tenant) {
	w.t.Helper()
	w.startServer("", "--config", config)
	b, err := os.ReadFile(w.state + "/endpoint")
	var at struct{ URL string }
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	for _, o := range all {
		if err == nil {
			o.cl, err = client.New(client.Config{URL: at.URL, Token: o.token.Token, Project: o.project})
		}
		if err == nil {
			o.member, err = client.New(client.Config{URL: at.URL, Token: "member-of-" + string(o.project), Project: o.project})
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// events are those of a backup with a code.
func (o *tenant) events(id coffer.BackupID, code string) (texts []string) {
	o.t.Helper()
	all, err := o.cl.Events(o.t.Context(), coffer.JobID(id), 0, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, e := range all.Events {
		if e.Code == code {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// TestProjectsOwnAccounts: two projects back up at the same time, each into its own
// account by its own credentials. Where bucket names are global the second one's
// container is another, which its backup says once and keeps over a restart, also one
// with records that were made anew. Neither
// reaches what the other has, by the store or by the API; both restore, and their
// deletes leave nothing.
func TestProjectsOwnAccounts(t *testing.T) {
	t.Parallel()
	dbs := [2]*database{newDatabase(t, 2<<20, false), newDatabase(t, 3<<20, false)}
	for _, s := range []setup{
		{name: "Swift", region: "RegionOne", forgets: true, users: [2]string{"alice", "bob"}, projects: [2]string{"farm-a", "farm-b"}},
		{name: "radosgw, global names", region: "off", users: [2]string{"alice", "bob"}, projects: [2]string{"farm-a", "farm-b"}, moved: 1},
		{name: "radosgw, implicit tenants, S3", region: "on", s3: true, users: [2]string{"carol", "dave"}, projects: [2]string{"farm-c", "farm-d"}},
		{name: "radosgw, implicit tenants", region: "on", users: [2]string{"carol", "dave"}, projects: [2]string{"farm-c", "farm-d"}, extra: "container = \"of-{instance}\"\n", heavy: true},
		{name: "radosgw, global names, S3", region: "off", s3: true, users: [2]string{"alice", "bob"}, projects: [2]string{"farm-a", "farm-b"}, moved: 1, heavy: true},
	} {
		t.Run(s.name, func(t *testing.T) {
			if s.heavy {
				heavy(t)
			}
			share(t, clouds.For(t), s, dbs)
		})
	}
}

// share takes both projects through the life of a backup.
func share(t *testing.T, c *cloud, s setup, dbs [2]*database) {
	w := newWorld(t, dbs[0])
	all, config := w.tenants(s.section(t, c), [2]string{c.keystone.Projects[s.projects[0]], c.keystone.Projects[s.projects[1]]}, dbs)
	w.begins(config, all)
	var ids [2]coffer.BackupID
	for _, o := range all {
		o.register()
	}
	for i, o := range all { // both are under way before one is looked at
		var b trove.Backup
		var err error
		o.begunAt(&b, func() {
			b, err = o.cl.CreateBackup(t.Context(), trove.BackupCreate{Name: "own", Instance: string(o.instance)}, "")
		})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = coffer.BackupID(b.ID)
	}
	containers := s.used(t, all, ids)
	for i, o := range all {
		s.trespass(t, c, i, containers[i], string(ids[i])+".manifest.json", string(ids[i])+".xbstream.zst")
		if _, err := all[1-i].member.BackupDetail(t.Context(), ids[i]); !coffer.IsKind(err, coffer.KindNotFound) {
			t.Errorf("%s sees the backup of %s: %v", s.projects[1-i], s.projects[i], err)
		}
		o.elsewhere(s, containers[1-i])
	}
	w.server.end(t, syscall.SIGTERM)
	if s.forgets {
		w.rebuilds(config, len(all))
	}
	w.begins(config, all)
	for i, o := range all {
		if !s.forgets { // or the instance is not known any more
			o.verified(ids[i])
		}
		o.restored(ids[i])
		if code := o.cli(nil, "backup", "delete", string(ids[i])); code != 0 {
			t.Errorf("delete: exit %d", code)
		}
		for _, kind := range []string{".manifest.json", ".xbstream.zst", ".intent.json"} {
			at := s.own(c, i, containers[i]) + "/" + string(ids[i]) + kind
			if got := s.ask(t, c, i, "HEAD", at); got != 404 {
				t.Errorf("after the delete %s answers %d", at, got)
			}
		}
	}
}

// used are the containers that the backups lie in, which must be good. Where a project
// has another one than the plain one its backup says so, once.
func (s setup) used(t *testing.T, all [2]*tenant, ids [2]coffer.BackupID) (containers [2]string) {
	t.Helper()
	moved := 0
	for i, o := range all {
		b := o.settled(ids[i], time.Minute)
		if b.State != coffer.Completed {
			t.Fatalf("the backup of %s is %s: %+v", s.projects[i], b.State, b.Error)
		}
		containers[i] = b.Container
		plain, sep := "database_backups", "_"
		if s.s3 {
			plain, sep = "database-backups", "-"
		}
		if s.extra != "" {
			plain = "of-" + string(o.instance)
		}
		said := o.events(ids[i], "container")
		switch b.Container {
		case plain:
			if len(said) != 0 {
				t.Errorf("%s: %q", s.projects[i], said)
			}
		case plain + sep + string(o.project):
			moved++
			if len(said) != 1 || !strings.Contains(said[0], plain) || !strings.Contains(said[0], b.Container) {
				t.Errorf("the backup of %s says %q", s.projects[i], said)
			}
		default:
			t.Errorf("the container of %s is %s", s.projects[i], b.Container)
		}
		if !strings.Contains(b.Location, "/"+b.Container+"/"+string(b.ID)+".") {
			t.Errorf("%s is said to be at %s", b.ID, b.Location)
		}
	}
	if moved != s.moved {
		t.Errorf("%d of 2 projects use another container, want %d", moved, s.moved)
	}
	return containers
}

// rebuilds loses the records and makes them anew from all accounts.
func (w *world) rebuilds(config string, want int) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.state, "records.db*"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("records: %q, %v", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			w.t.Fatal(err)
		}
	}
	var r struct{ Made, Failed int }
	if code := w.cli(&r, "catalogue", "rebuild", "--store", "far", "--config", config); code != 0 || r.Made != want || r.Failed != 0 {
		w.t.Fatalf("rebuild: exit %d, %+v", code, r)
	}
}

// own is a container as its own project addresses it.
func (s setup) own(c *cloud, i int, container string) string {
	if s.s3 {
		return s.rgw(c).URL + "/" + container
	}
	base := c.swift.KeystoneURL
	if s.region != "RegionOne" {
		base = s.rgw(c).SwiftURL
	}
	return base + "/AUTH_" + c.keystone.Projects[s.projects[i]] + "/" + container
}

// elsewhere asks for containers that are no container of the project's, or are
// another's: none is used.
func (o *tenant) elsewhere(s setup, theirs string) {
	o.t.Helper()
	for _, name := range []string{"../" + theirs, "a/b"} {
		_, err := o.cl.CreateBackup(o.t.Context(), trove.BackupCreate{Name: "out", Instance: string(o.instance), SwiftContainer: name}, "")
		if !coffer.IsKind(err, coffer.KindInvalid) {
			o.t.Errorf("container %q: %v", name, err)
		}
	}
	if s.region != "off" {
		return
	}
	b, err := o.cl.CreateBackup(o.t.Context(), trove.BackupCreate{Name: "mine", Instance: string(o.instance), SwiftContainer: theirs}, "")
	if s.s3 && coffer.IsKind(err, coffer.KindForbidden) {
		return // two ids have no room in a bucket's name
	}
	if err != nil {
		o.t.Errorf("container %s of another project: %v", theirs, err)
		return
	}
	if got := o.settled(coffer.BackupID(b.ID), time.Minute); got.State != coffer.Completed || got.Container == theirs {
		o.t.Errorf("a backup for another project's container is %s in %s", got.State, got.Container)
	}
}
