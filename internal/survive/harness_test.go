package survive

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/agent"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/keyring"
	"github.com/cofferdb/coffer/internal/lifecycle"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/taskmanager"
	"github.com/cofferdb/coffer/internal/testenv"
)

func TestMain(m *testing.M) {
	guard.Hook()
	// These tests wait more than they work: twice as many at a time as there are cores.
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // the flag is the testing package's own
	}
	goleak.VerifyTestMain(m)
}

const (
	project   = coffer.ProjectID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	storeName = "main"
	deadline  = 2 * time.Second // of a manifest
)

// heavy skips a test unless the long ones are asked for.
func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("long: set COFFER_HEAVY=1")
	}
}

// settings are what a world is made with; the zero value is the usual one.
type settings struct {
	options    engine.Options
	spoolBytes int64
	stateDir   string // of the records; "" is a folder of the world's
	spoolDir   string
	storeDir   string
	keys       *keyring.Ring // its Recipients and IdentityFile are taken
}

// world is one Coffer and the database that it looks after.
type world struct {
	t        *testing.T
	dir      string // mode 0711: the tools' users must pass
	set      settings
	root     string // of the file store
	file     store.Full
	src      *source
	instance coffer.InstanceID
	agentID  coffer.AgentID
	tool     string // a script around mariadb-backup
	seen     []coffer.BackupID

	mu    sync.Mutex
	store store.Full
	said  log

	db    *records.DB
	host  *host.Host
	bus   *local.Bus
	ring  *keyring.Ring
	agent *agent.Agent
	tasks *taskmanager.TaskManager
	end   context.CancelFunc
	ended chan error
}

// newWorld makes a Coffer that stands and serves one database.
func newWorld(t *testing.T, src *source, set settings) *world {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{
		t: t, dir: dir, set: set, src: src, root: cmp.Or(set.storeDir, filepath.Join(dir, "store")),
		agentID: coffer.AgentID(coffer.NewUUID()), instance: coffer.InstanceID(coffer.NewUUID()),
	}
	w.file, err = file.New(w.root, file.Options{Create: true})
	w.must(err)
	w.store = w.file
	if w.set.stateDir == "" {
		w.set.stateDir = w.mkdir("state")
	}
	if w.set.spoolDir == "" {
		w.set.spoolDir = w.mkdir("spool")
	}
	w.mkdir("agent")
	w.writeTool()
	t.Cleanup(func() {
		w.stop()
		w.removeServers()
		if t.Failed() {
			t.Logf("the log of the roles:\n%s", w.said.tail())
		}
	})
	w.start()
	w.register()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v (hint %q)", err, coffer.HintOf(err))
	}
}

func (w *world) mkdir(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	w.must(os.MkdirAll(path, 0o700))
	return path
}

// writeTool makes a tool that notes what it is called with, and is the real one.
func (w *world) writeTool() {
	real := testenv.Need(w.t, "mariadb-backup", "bash")[0]
	w.tool = filepath.Join(w.dir, "tool")
	calls := filepath.Join(w.dir, "calls")
	w.must(os.WriteFile(calls, nil, 0o600))
	w.must(os.Chmod(calls, 0o666)) // the tool runs under several users
	w.must(os.WriteFile(w.tool, []byte("#!/bin/bash\necho \"$*\" >>"+calls+"\nexec "+real+" \"$@\"\n"), 0o700))
	w.must(os.Chmod(w.tool, 0o755))
}

// ran is how often the tool was called with a word.
func (w *world) ran(word string) int {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "calls"))
	w.must(err)
	return strings.Count(string(b), word)
}

// log keeps what the roles say.
type log struct {
	mu   sync.Mutex
	text []byte
}

// Write takes a line.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *log) tail() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text[max(0, len(l.text)-6000):]
}

// start assembles the roles and runs them; a second start is a new life on the same
// state.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.db, err = records.Open(w.t.Context(), filepath.Join(w.set.stateDir, "records.db"))
	w.must(err)
	log, boot := slog.New(slog.NewTextHandler(&w.said, nil)), coffer.NewNonce()
	w.host, err = host.New(host.Config{Root: filepath.Join(w.dir, "hosted"), Log: log})
	w.must(err)
	w.bus = local.New(local.WithLog(log))
	w.ring = &keyring.Ring{Records: w.db, Stores: w}
	if r := w.set.keys; r != nil {
		w.ring.Recipients, w.ring.IdentityFile = r.Recipients, r.IdentityFile
	}
	s := &settle.Settler{Records: w.db, Stores: w, Now: time.Now}
	cond := &conductor.Conductor{Records: w.db, Bus: w.bus, Settler: s, Keys: w.ring, Log: log, Now: time.Now}
	w.agent = &agent.Agent{
		ID: w.agentID, Boot: boot, Bus: w.bus, Stores: w, Engines: w, Keys: w.ring, Host: w.host, Log: log, Now: time.Now,
		Config: agent.Config{
			StateDir: filepath.Join(w.dir, "agent"), SpoolDir: w.set.spoolDir, SpoolBytes: w.set.spoolBytes,
			InFlight: 2 << 20, Compression: "zstd", Options: w.set.options,
			Heartbeat: 500 * time.Millisecond, Beat: 300 * time.Millisecond, Deadline: deadline,
		},
	}
	w.tasks = &taskmanager.TaskManager{
		ID: w.agentID, Boot: boot, Records: w.db, Bus: w.bus, Stores: w, Settler: s, Keys: w.ring, Log: log, Now: time.Now,
		Dead: func(r coffer.Runner) bool { return r.Agent() == w.agentID && r.Boot() != boot },
		Timings: taskmanager.Timings{
			Ring: 100 * time.Millisecond, Rescue: 200 * time.Millisecond, Deadline: deadline, Sweep: time.Hour, Grace: time.Millisecond,
		},
	}
	w.run(cond)
}

func (w *world) run(cond *conductor.Conductor) {
	w.t.Helper()
	ctx, end := context.WithCancel(context.WithoutCancel(w.t.Context()))
	w.end, w.ended = end, make(chan error, 1)
	var ready sync.WaitGroup
	ready.Add(3)
	go func() {
		w.ended <- lifecycle.Run(ctx,
			lifecycle.Part{Name: "conductor", Run: func(ctx context.Context) error { return cond.Run(ctx, ready.Done) }},
			lifecycle.Part{Name: "task manager", Run: func(ctx context.Context) error { return w.tasks.Run(ctx, ready.Done) }},
			lifecycle.Part{Name: "agent", Run: func(ctx context.Context) error { return w.agent.Run(ctx, ready.Done) }})
	}()
	ready.Wait()
	w.must(w.agent.Refresh(w.t.Context()))
}

// stop ends every role and closes the records.
func (w *world) stop() {
	w.t.Helper()
	if w.end == nil {
		return
	}
	w.end()
	w.end = nil
	if err := <-w.ended; err != nil {
		w.t.Errorf("a role ended: %v", err)
	}
	if err := errors.Join(w.host.Close(), w.db.Close()); err != nil {
		w.t.Errorf("close host and records: %v", err)
	}
}

// removeServers ends what a failed test has left: restored servers outlive the roles.
func (w *world) removeServers() {
	h, err := host.New(host.Config{Root: filepath.Join(w.dir, "hosted"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Errorf("look for servers that are left: %v", err)
		return
	}
	slots, err := h.Slots()
	for _, s := range slots {
		err = errors.Join(err, h.Remove(context.Background(), s.Instance))
	}
	if err := errors.Join(err, h.Close()); err != nil {
		w.t.Errorf("end the servers that are left: %v", err)
	}
}

// register puts the database under this world's care.
func (w *world) register() {
	w.t.Helper()
	key, recipient, err := w.ring.NewDataKey(w.t.Context(), storeName, project, w.instance)
	w.must(err)
	r, err := message.Register.Call(w.t.Context(), w.bus, message.HostAgent(w.agentID), message.RegisterArgs{
		Instance: w.instance, Project: project, StoreName: storeName,
		Conn: coffer.Conn{Socket: w.src.Socket, CredentialsFile: w.src.CredentialsFile},
	})
	w.must(err)
	w.must(w.db.CreateInstance(w.t.Context(), coffer.Instance{
		ID: w.instance, Project: project, Name: "shop", Kind: coffer.Registered, Agent: w.agentID,
		Datastore: r.Datastore, Conn: r.Conn, Status: "ACTIVE", Key: key, Recipient: recipient, Created: time.Now(), Updated: time.Now(),
	}))
	w.must(w.file.Delete(w.t.Context(), r.ProbeObject))
	w.must(w.agent.Refresh(w.t.Context()))
}

// Open gives the store of this moment.
func (w *world) Open(context.Context, string) (store.Full, error) { return current{w}, nil }

// URL is where an object can be found.
func (w *world) URL(_, object string) string { return "file://" + w.root + "/" + object }

// Engine gives the real engine with the tool that notes its calls.
func (w *world) Engine(conn coffer.Conn) (engine.Engine, error) {
	return mysql.New(mysql.Config{
		Conn: conn, Guard: guard.Self(), StateDir: filepath.Join(w.dir, "agent"), Tools: mysql.Tools{Backup: w.tool},
	})
}

// faulty puts a store that can be told to fail before the file store.
func (w *world) faulty(faults ...storetest.Fault) *storetest.Faulty {
	f := &storetest.Faulty{Full: w.file}
	f.Plan(faults...)
	w.use(f)
	return f
}

// use changes the store for everybody, from the next call on.
func (w *world) use(s store.Full) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.store = s
}

func (w *world) theStore() store.Full {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.store
}
