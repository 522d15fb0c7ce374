package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

func TestStart(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{})
	s := prepared(t, h)
	conn, err := h.Start(t.Context(), s, map[string]string{"innodb_buffer_pool_size": "32M", "lower_case_table_names": "1"})
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(conn.CredentialsFile); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("credentials file: %v, %v; want mode 0600", fi, err)
	}
	if _, err := os.Stat(s.file("init.sql")); !os.IsNotExist(err) {
		t.Errorf("the init file is still there (%v)", err)
	}
	for _, network := range []string{"unix", "tcp"} {
		db := open(t, conn, network)
		var user, events, links, dir, bind, plugins string
		var lower int
		err := db.QueryRowContext(t.Context(), `SELECT current_user(), @@event_scheduler, @@have_symlink,
			@@datadir, @@bind_address, @@plugin_dir, @@lower_case_table_names`).
			Scan(&user, &events, &links, &dir, &bind, &plugins, &lower)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		got := strings.Join([]string{user, events, links, filepath.Clean(dir), bind, filepath.Clean(plugins)}, " ")
		want := strings.Join([]string{"coffer_host@localhost", "OFF", "DISABLED", s.DataDir, "127.0.0.1", s.file("plugins")}, " ")
		if got != want || lower != 1 {
			t.Errorf("%s: the server says\n%s, lower_case_table_names %d; want\n%s, 1", network, got, lower, want)
		}
		if _, err := db.ExecContext(t.Context(), "INSTALL SONAME 'server_audit'"); err == nil {
			t.Errorf("%s: a library could be loaded", network)
		}
		if _, err := db.ExecContext(t.Context(), "CREATE DATABASE d"+network); err != nil {
			t.Errorf("%s: the agent's account: %v", network, err)
		}
	}
	run := h.Running()
	if len(run) != 1 || !run[0].Up || run[0].Slot != s || run[0].PID == os.Getpid() {
		t.Fatalf("Running = %+v", run)
	}
	if sid := sessionOf(t, run[0].PID); sid != run[0].PID {
		t.Errorf("the server is in session %d, want its own %d", sid, run[0].PID)
	}
	again, err := h.Start(t.Context(), s, nil)
	if err != nil || again != conn || h.Running()[0].PID != run[0].PID {
		t.Errorf("a second Start: %+v, %v; want the same server", again, err)
	}
	if err := h.Stop(t.Context(), s.Instance); err != nil || alivePID(run[0].PID) {
		t.Errorf("Stop: %v, process alive %v", err, alivePID(run[0].PID))
	}
	if again, err := h.Start(t.Context(), s, nil); err != nil || again != conn {
		t.Errorf("Start after Stop: %+v, %v", again, err)
	}
	if err := h.Remove(t.Context(), s.Instance); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(s.Dir); !os.IsNotExist(err) || len(h.Running()) != 0 {
		t.Errorf("after Remove: %v, running %v", err, h.Running())
	}
	if err := h.Remove(t.Context(), s.Instance); err != nil {
		t.Errorf("Remove again: %v", err)
	}
}

func TestDeadServerShowsItsLog(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{})
	s := prepared(t, h)
	if err := os.RemoveAll(filepath.Join(s.DataDir, "mysql")); err != nil {
		t.Fatal(err)
	}
	_, err := h.Start(t.Context(), s, nil)
	if !coffer.IsKind(err, coffer.KindTool) || !strings.Contains(err.Error(), "mysql.") || !strings.Contains(err.Error(), "[ERROR]") {
		t.Errorf("error %q (%s); want the server's own words", err, coffer.KindOf(err))
	}
	if r := h.Running(); len(r) != 0 {
		t.Errorf("a failed start is wanted: %+v", r)
	}
}

// A start that is given up leaves no server behind.
func TestStartCancelled(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{})
	s := prepared(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := h.Start(ctx, s, nil); err == nil {
		t.Fatal("Start succeeded after its context's end")
	}
	if p, ok := findServer(s); ok {
		t.Errorf("process %d still serves the slot", p.PID)
	}
	if _, err := h.Start(t.Context(), s, nil); err != nil {
		t.Errorf("the next start: %v", err)
	}
}

func TestPortsDiffer(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	hosts := []*Host{setup(t, Config{Root: root}), setup(t, Config{Root: root}), setup(t, Config{})}
	const each = 15
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		ports = map[int]int{}
		uids  = map[string]int{}
	)
	for _, h := range hosts {
		for range each {
			wg.Go(func() {
				s, err := h.Prepare(t.Context(), newID(), 0)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ports[s.Port]++
				uids[filepath.Dir(s.Dir)+"/"+fmtInt(s.UID)]++
			})
		}
	}
	wg.Wait()
	if len(ports) != len(hosts)*each {
		t.Errorf("%d slots share %d ports", len(hosts)*each, len(ports))
	}
	if os.Geteuid() == 0 && len(uids) != len(hosts)*each {
		t.Errorf("%d slots share %d uids of their roots", len(hosts)*each, len(uids))
	}
	for p := range ports {
		if _, err := hosts[0].Prepare(t.Context(), newID(), p); !coffer.IsKind(err, coffer.KindConflict) {
			t.Errorf("port %d was given twice (%v)", p, err)
		}
		break
	}
}

// From the moment the port is given up for the server until the server has it,
// no other host of the machine takes it.
func TestPortIsClaimedDuringAStart(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{PortMin: 14400, PortMax: 14450})
	s, err := h.Prepare(t.Context(), newID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	h.releasePort(s.Instance)
	other := setup(t, Config{PortMin: s.Port, PortMax: s.Port})
	if got, err := other.Prepare(t.Context(), newID(), 0); !coffer.IsKind(err, coffer.KindQuota) {
		t.Errorf("port %d was given to %+v as well (%v)", s.Port, got, err)
	}
	if err := h.Remove(t.Context(), s.Instance); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Prepare(t.Context(), newID(), 0); err != nil {
		t.Errorf("the port of a removed slot: %v", err)
	}
}

func TestOtherUsersCannotRead(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives servers users of their own")
	}
	h := setup(t, Config{})
	a, b := prepared(t, h), prepared(t, h)
	if _, err := h.Start(t.Context(), a, nil); err != nil {
		t.Fatal(err)
	}
	if uid := realUID(h.Running()[0].PID); uid != a.UID || uid == 0 || uid == b.UID {
		t.Errorf("the server runs as %d, want its own uid %d", uid, a.UID)
	}
	as := func(uid int, name string, args ...string) error {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		return cmd.Run()
	}
	if err := as(a.UID, "/bin/cat", filepath.Join(a.DataDir, "ibdata1")); err != nil {
		t.Errorf("the slot's own user cannot read its data: %v", err)
	}
	for _, path := range []string{
		filepath.Join(a.DataDir, "ibdata1"), a.DataDir, a.file("run"), a.file("tmp"),
		a.file("credentials.cnf"), a.file("state.json"), a.file("slot.json"), a.file("server.log"),
	} {
		if as(b.UID, "/bin/ls", path+"/") == nil || as(b.UID, "/bin/cat", path) == nil {
			t.Errorf("another slot's user can read %s", path)
		}
	}
	for _, path := range []string{a.Dir, a.file("plugins"), h.cfg.Root} {
		if as(a.UID, "/usr/bin/touch", filepath.Join(path, "x")) == nil {
			t.Errorf("the slot's user can write in %s", path)
		}
	}
}

func TestRemoveRefusesForeignFolders(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{})
	ids := []coffer.InstanceID{newID(), newID(), newID()}
	elsewhere := t.TempDir()
	foreign := filepath.Join(h.cfg.Root, string(ids[0]))
	other := filepath.Join(h.cfg.Root, string(ids[1]))
	for _, dir := range []string{foreign, other} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(other, "slot.json"), []byte(`{"instance":"`+string(ids[0])+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(h.cfg.Root, string(ids[2]))); err != nil {
		t.Fatal(err)
	}
	linked, others := newID(), newID()
	for _, id := range []coffer.InstanceID{linked, others} {
		dir := filepath.Join(h.cfg.Root, string(id))
		marker := filepath.Join(dir, "slot.json")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if id == linked {
			target := filepath.Join(elsewhere, "slot.json")
			if err := os.WriteFile(target, []byte(`{"instance":"`+string(id)+`"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, marker); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		} else if os.Geteuid() == 0 { // written by a user that could not have made a slot
			if err := os.WriteFile(marker, []byte(`{"instance":"`+string(id)+`"}`), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(marker, 65534, 65534); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if err := h.Remove(t.Context(), id); !coffer.IsKind(err, coffer.KindForbidden) {
			t.Errorf("Remove of a foreign folder: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(h.cfg.Root, string(id))); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []coffer.InstanceID{"", "..", "../x", "A0000000-0000-4000-8000-000000000000"} {
		if err := h.Remove(t.Context(), id); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("Remove(%q): %v", id, err)
		}
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	h := setup(t, Config{})
	s, err := h.Prepare(t.Context(), newID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Prepare(t.Context(), s.Instance, 0); !coffer.IsKind(err, coffer.KindExists) {
		t.Errorf("a second Prepare: %v", err)
	}
	if got, err := h.Slots(); err != nil || len(got) != 1 || got[0] != s {
		t.Errorf("Slots = %+v, %v; want %+v", got, err, s)
	}
	if entries, err := os.ReadDir(s.DataDir); err != nil || len(entries) != 0 {
		t.Errorf("the data folder holds %v, %v", entries, err)
	}
	if free, err := h.Free(); err != nil || free <= 0 {
		t.Errorf("Free = %d, %v", free, err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 80))
	if _, err := New(Config{Root: long}); !coffer.IsKind(err, coffer.KindInvalid) || coffer.HintOf(err) == "" {
		t.Errorf("a root that is too long for sockets: %v", err)
	}
	if os.Geteuid() == 0 {
		closed := t.TempDir()
		if err := os.Chmod(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{Root: filepath.Join(closed, "h")}); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("a root that other users cannot reach: %v", err)
		}
	}
}

func TestOptionFile(t *testing.T) {
	t.Parallel()
	s := Slot{Dir: "/x/y", DataDir: "/x/y/data", Socket: "/x/y/run/sock", Port: 4}
	good := map[string]string{
		"innodb-data-file-path": "ibdata1:12M;ibdata2:1M:autoextend:max:2G", "innodb_page_size": "16384",
		"innodb_undo_tablespaces": "3", "innodb_checksum_algorithm": "full_crc32",
	}
	b, err := optionFile(s, good)
	if err != nil || !strings.Contains(string(b), "\ninnodb_data_file_path = ibdata1:12M;ibdata2:1M:autoextend:max:2G\n") {
		t.Errorf("optionFile: %v\n%s", err, b)
	}
	for _, line := range []string{
		"event_scheduler = OFF", "skip_slave_start = ON", "symbolic_links = OFF", "local_infile = OFF", "bind_address = 127.0.0.1",
		"plugin_dir = /x/y/plugins", "tmpdir = /x/y/tmp", "secure_file_priv = /x/y/tmp", "loose_feedback = OFF",
	} {
		if !strings.Contains(string(b), "\n"+line+"\n") {
			t.Errorf("the option file lacks %q", line)
		}
	}
	for name, value := range map[string]string{
		"plugin_load": "x.so", "init_file": "/etc/passwd", "datadir": "/", "bind_address": "0.0.0.0", "event_scheduler": "ON",
		"innodb_data_file_path": "../ibdata1:12M", "innodb_page_size": "16384\nplugin_load=x", "server_id": "",
		"innodb_temp_data_file_path": "/tmp/x:12M", "character_set_server": "a b", "innodb_undo_directory": "/",
	} {
		if b, err := optionFile(s, map[string]string{name: value}); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%s=%q is taken: %v\n%s", name, value, err, b)
		}
	}
}
