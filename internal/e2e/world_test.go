package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

// shortTimings are a tenth or so of the real ones.
const shortTimings = "lease=3s,deadline=1500ms,beat=500ms,heartbeat=1s,grace=500ms,sweep=1h"

// world is one state folder with its processes.
type world struct {
	t       *testing.T
	dir     string
	bin     string // a name of the program that no other world has
	state   string
	beside  string // the state folder of an agent of its own
	timings string
	env     []string // more of the processes' environment
	db      *database

	server, agent *proc
	cl            *client.Client
	instance      coffer.InstanceID
	made          []coffer.BackupID
	begun         map[coffer.BackupID]time.Time
	restores      int
}

func newWorld(t *testing.T, db *database) *world {
	t.Helper()
	sources(t)
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	w := &world{
		t: t, dir: dir, bin: filepath.Join(dir, "coffer"), state: filepath.Join(dir, "s"), beside: filepath.Join(dir, "a"),
		timings: shortTimings, db: db, begun: map[coffer.BackupID]time.Time{},
	}
	if err == nil {
		err = os.Link(program(), w.bin)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range []*proc{w.agent, w.server} {
			if p != nil {
				p.end(t, syscall.SIGKILL)
			}
		}
		for _, o := range w.left() {
			t.Logf("ended: %v", o)
			_ = syscall.Kill(o.pid, syscall.SIGKILL)
		}
		if t.Failed() {
			log, _ := os.ReadFile(w.dir + "/log")
			t.Logf("the log of the processes:\n%s", log[max(0, len(log)-12000):])
		}
		os.RemoveAll(dir)
	})
	return w
}

// sources looks at every source of the program, so that a cached result of these
// tests counts only while the program is the same.
func sources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Log(err)
	}
}

// command is the program with this world's state.
func (w *world) command(failpoint string, args ...string) *exec.Cmd {
	cmd := exec.Command(w.bin, args...)
	cmd.Env = append(append(os.Environ(), w.env...), "COFFER_STATE="+w.state, "COFFER_FAILPOINT="+failpoint, "COFFER_TEST_TIMINGS="+w.timings)
	return cmd
}

// run starts a long process whose words go to the world's log.
func (w *world) run(failpoint string, args ...string) *proc {
	w.t.Helper()
	log, err := os.OpenFile(w.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	fmt.Fprintf(log, "--- %v %q %v\n", time.Now().Format("15:04:05.000"), failpoint, args)
	cmd := w.command(failpoint, args...)
	cmd.Stdout, cmd.Stderr = log, log
	return launch(w.t, cmd)
}

// startServer starts the control plane, with an agent inside unless more says
// otherwise, and waits until it answers. It reports false when the process died
// first, which a failpoint may want.
func (w *world) startServer(failpoint string, more ...string) bool {
	w.t.Helper()
	os.Remove(w.state + "/endpoint")
	w.server = w.run(failpoint, append([]string{"server", "--listen", "127.0.0.1:0"}, more...)...)
	var at struct {
		URL     string           `json:"url"`
		Project coffer.ProjectID `json:"project"`
	}
	within(w.t, 30*time.Second, "the server answers", func() bool {
		b, err := os.ReadFile(w.state + "/endpoint")
		return err == nil && json.Unmarshal(b, &at) == nil || w.server.ended()
	})
	if at.URL == "" {
		return false
	}
	own, err := auth.ReadLocal(w.state + "/token")
	if err != nil {
		w.t.Fatal(err)
	}
	if w.cl, err = client.New(client.Config{URL: at.URL, Token: own.Token, Project: at.Project}); err != nil {
		w.t.Fatal(err)
	}
	return true
}

// startAgent starts an agent of its own and waits until the server knows this
// life of it.
func (w *world) startAgent(failpoint string) {
	w.t.Helper()
	start := time.Now()
	w.agent = w.run(failpoint, "--state", w.beside, "agent", "--server", w.state)
	within(w.t, 30*time.Second, "the agent is seen", func() bool {
		all, err := w.cl.Agents(w.t.Context())
		return w.agent.ended() || err == nil && slices.ContainsFunc(all, func(a rest.Agent) bool { return a.SeenAt.After(start) })
	})
}

// register puts the database under this world's care.
func (w *world) register() {
	w.t.Helper()
	var err error
	var in rest.InstanceBody
	within(w.t, 20*time.Second, "an agent registers the database", func() bool {
		in, err = w.cl.Register(w.t.Context(), rest.Register{
			Name: "shop", Conn: coffer.Conn{Socket: w.db.Socket, CredentialsFile: w.db.CredentialsFile},
		})
		return err == nil || !coffer.IsKind(err, coffer.KindUnavailable, coffer.KindNotFound, coffer.KindConflict)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.instance = in.Instance.ID
}

// create asks for a backup, as soon as the instance is free.
func (w *world) create() coffer.BackupID {
	w.t.Helper()
	var b trove.Backup
	var err error
	w.begunAt(&b, func() {
		within(w.t, time.Minute, "the instance is free for another backup", func() bool {
			b, err = w.cl.CreateBackup(w.t.Context(), trove.BackupCreate{Name: "b", Instance: string(w.instance)}, "")
			return err == nil || !coffer.IsKind(err, coffer.KindBusy, coffer.KindConflict, coffer.KindUnprocessable)
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return coffer.BackupID(b.ID)
}

func (w *world) begunAt(b *trove.Backup, f func()) {
	at := time.Now()
	f()
	id := coffer.BackupID(b.ID)
	w.begun[id] = at
	w.made = append(w.made, id)
}

// show is the row of a backup.
func (w *world) show(id coffer.BackupID) rest.Backup {
	w.t.Helper()
	b, err := w.cl.BackupDetail(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return b.Backup
}

// settled waits for a backup's end.
func (w *world) settled(id coffer.BackupID, d time.Duration) rest.Backup {
	w.t.Helper()
	var b rest.Backup
	within(w.t, d, "backup "+string(id)+" ends", func() bool {
		b = w.show(id)
		return !b.State.Running()
	})
	return b
}

// completes makes one more backup, which must be good.
func (w *world) completes() coffer.BackupID {
	w.t.Helper()
	id := w.create()
	if b := w.settled(id, time.Minute); b.State != coffer.Completed {
		w.t.Fatalf("a backup without a fault is %s: %+v", b.State, b.Error)
	}
	return id
}

// cli runs one command to its end and gives its exit code.
func (w *world) cli(out any, args ...string) int {
	w.t.Helper()
	cmd := w.command("", append(args, "-o", "json")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	p := launch(w.t, cmd)
	p.wait(w.t, 2*time.Minute)
	if out != nil {
		if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
			w.t.Errorf("%v prints no JSON: %v\n%s%s", args, err, stdout.Bytes(), stderr.Bytes())
		}
	}
	code := cmd.ProcessState.ExitCode()
	if code != 0 {
		w.t.Logf("%v: exit %d\n%s%s", args, code, stdout.Bytes(), stderr.Bytes())
	}
	return code
}

// objects are the names in the store that begin with id, hidden uploads
// included; "" is all but keys.
func (w *world) objects(id coffer.BackupID) []string {
	w.t.Helper()
	return objectsIn(w.t, w.state+"/store", id)
}

func objectsIn(t testing.TB, root string, id coffer.BackupID) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), string(id)) {
			found = append(found, path[len(root)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// left are processes of this world that nobody should have left behind, and
// those that run now.
func (w *world) left() []other {
	var out []other
	for _, o := range processes() {
		if o.state == 'Z' || w.agent != nil && o.pid == w.agent.pid || w.server != nil && o.pid == w.server.pid {
			continue
		}
		tool := o.name == "mariadb-backup" && w.db != nil && strings.Contains(o.args, w.db.Dir)
		if o.exe == w.bin || tool || strings.Contains(o.args, w.dir+"/") && o.pid != os.Getpid() {
			out = append(out, o)
		}
	}
	return out
}

// noOrphans wants that no guard and no tool is left.
func (w *world) noOrphans() {
	w.t.Helper()
	var left []other
	defer func() {
		for _, o := range left {
			w.t.Logf("left: %v", o)
		}
	}()
	within(w.t, 15*time.Second, "no process is left behind", func() bool {
		left = slices.DeleteFunc(w.left(), func(o other) bool { return o.name == "mariadbd" })
		return len(left) == 0
	})
}

// sweep is one pass by the command.
func (w *world) sweep() rest.Sweep {
	w.t.Helper()
	var s rest.Sweep
	if code := w.cli(&s, "sweep"); code != 0 {
		w.t.Errorf("sweep: exit %d", code)
	}
	return s
}

// restored puts a backup's files into a folder and compares them.
func (w *world) restored(id coffer.BackupID) {
	w.t.Helper()
	w.restores++
	dir := fmt.Sprintf("%s/r%d", w.dir, w.restores)
	if code := w.cli(nil, "restore", string(id), "--to", dir); code != 0 {
		w.t.Errorf("restore %s: exit %d", id, code)
		return
	}
	b := w.show(id)
	end := time.Now()
	if b.EndedAt != nil {
		end = *b.EndedAt
	}
	w.db.equals(w.t, dir, w.begun[id], end)
	os.RemoveAll(dir)
}

// verified reads every part and frame of a backup.
func (w *world) verified(id coffer.BackupID) {
	w.t.Helper()
	s, err := w.cl.Verify(w.t.Context(), id)
	if err == nil {
		ctx, stop := context.WithTimeout(w.t.Context(), time.Minute)
		defer stop()
		_, err = w.cl.Wait(ctx, s.Job.ID, 50*time.Millisecond, nil)
	}
	if err != nil {
		w.t.Errorf("verify %s: %v", id, err)
	}
}
