package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/agent"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/keyring"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/taskmanager"
)

// This file alone names adapters: which store, which bus, which engine. A new one
// is a folder of its own, a line here, and its contract's suite.

// defaultStore is the name of the one store of an embedded Coffer.
const defaultStore = "default"

// stores opens the stores of the configuration by name.
type stores struct {
	root string // the file store's folder
	full store.Full
}

// newStores opens the folder of backups; create makes it, which is not done for a
// folder that somebody named: its disk may not be mounted.
func newStores(root string, create bool) (*stores, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, "open the store", "%w", err)
	}
	s, err := file.New(root, file.Options{Create: create})
	if err != nil {
		return nil, coffer.Wrap("open the store", err)
	}
	return &stores{root: root, full: failpointStore(s)}, nil
}

func (s *stores) Open(_ context.Context, name string) (store.Full, error) {
	if name != defaultStore {
		return nil, coffer.E(coffer.KindInvalid, "open a store", "the configuration names no store %q", name)
	}
	return s.full, nil
}

// ReadProbe reads back what an agent has written into a store, and removes it.
func (s *stores) ReadProbe(ctx context.Context, name, object, sum string) error {
	const op = "read back the agent's probe object"
	st, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	r, err := st.Open(ctx, object, 0, -1)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	r.Close()
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if store.Bytes(b).SHA256() != sum {
		return coffer.E(coffer.KindUnprocessable, op, "store %s gave other bytes than the agent wrote", name).
			WithHint("the agent and the control plane must name the same store: compare their configurations")
	}
	if err := st.Delete(ctx, object); err != nil && !coffer.IsKind(err, coffer.KindKept) {
		return coffer.Wrap("remove the probe object", err)
	}
	return nil
}

func (s *stores) URL(_, object string) string { return "file://" + s.root + "/" + object }

// engines gives the engine for a server.
type engines struct {
	guard []string
	state string
}

func (e engines) Engine(conn coffer.Conn) (engine.Engine, error) {
	return mysql.New(mysql.Config{Conn: conn, Guard: e.guard, StateDir: e.state})
}

// settings are what the parts of one process are made from.
type settings struct {
	State      stateDir
	StoreDir   string
	NoHost     bool   // run no restored servers here
	MakeStore  bool   // make StoreDir if it is absent
	Identity   string // the operator's identity file; "" is keys/identity.txt if it is there
	Recipients []string
	Options    engine.Options
	SpoolBytes int64
	Log        *slog.Logger
}

// parts are the roles of one process and what they share.
type parts struct {
	db         *records.DB
	bus        bus.Bus
	stores     *stores
	ring       *keyring.Ring
	host       *host.Host
	settler    *settle.Settler
	conductor  *conductor.Conductor
	tasks      *taskmanager.TaskManager
	agent      *agent.Agent
	recipients int
}

func (p *parts) close() error { return p.db.Close() }

// assemble makes every part; nothing runs yet.
func assemble(ctx context.Context, s settings) (*parts, error) {
	st, err := newStores(s.StoreDir, s.MakeStore)
	if err != nil {
		return nil, err
	}
	db, err := records.Open(ctx, s.State.path("records.db"))
	if err != nil {
		return nil, err
	}
	p := &parts{db: db, bus: local.New(local.WithLog(s.Log)), stores: st}
	if err := p.roles(s); err != nil {
		db.Close()
		return nil, err
	}
	return p, nil
}

func (p *parts) roles(s settings) error {
	ring, err := newRing(s, p.db, p.stores)
	if err != nil {
		return err
	}
	p.ring, p.recipients = ring, len(ring.Recipients)
	p.settler = &settle.Settler{Records: p.db, Stores: p.stores, Now: time.Now, Failpoint: failpoint}
	boot := coffer.NewNonce()
	p.conductor = &conductor.Conductor{
		Records: p.db, Bus: p.bus, Settler: p.settler, Keys: ring, Log: s.Log, Now: time.Now,
	}
	p.agent, p.host, err = newAgent(s, boot, p.bus, p.stores, ring)
	if err != nil {
		return err
	}
	p.tasks = &taskmanager.TaskManager{
		ID: p.agent.ID, Boot: boot, Records: p.db, Bus: p.bus, Stores: p.stores, Settler: p.settler,
		Keys: ring, Log: s.Log, Now: time.Now,
		// The lock on the state folder proves that every earlier life of this
		// agent has ended.
		Dead: func(r coffer.Runner) bool { return r.Agent() == p.agent.ID && r.Boot() != boot },
	}
	tuneTasks(&p.tasks.Timings)
	return nil
}

// readable says at the start, and not in the night of a restore, that the identity
// which was named cannot be used. None may be named.
func readable(identity string) error {
	if identity == "" {
		return nil
	}
	_, err := codec.ReadIdentities(identity)
	return err
}

func newRing(s settings, db *records.DB, st *stores) (*keyring.Ring, error) {
	id := s.Identity
	if id == "" {
		if f := s.State.path("keys", "identity.txt"); exists(f) {
			id = f
		}
	}
	var rcp []age.Recipient
	var err error
	if err := readable(s.Identity); err != nil {
		return nil, err
	}
	switch {
	case len(s.Recipients) > 0:
		rcp, err = codec.ParseRecipients(s.Recipients...)
	case exists(s.State.path("keys", "recipients.txt")):
		rcp, err = codec.ReadRecipients(s.State.path("keys", "recipients.txt"))
	}
	if err != nil {
		return nil, coffer.Wrap("read the recipients", err)
	}
	return &keyring.Ring{Records: db, Stores: st, Recipients: rcp, IdentityFile: id}, nil
}

func newAgent(s settings, boot string, b bus.Bus, st agent.Stores, keys agent.Keys) (*agent.Agent, *host.Host, error) {
	id, err := s.State.once("agent/id", coffer.NewUUID)
	if err != nil {
		return nil, nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, coffer.E(coffer.KindInternal, "find this program", "%w", err)
	}
	a := &agent.Agent{
		ID: coffer.AgentID(id), Boot: boot, Bus: b, Stores: st, Keys: keys,
		Engines: engines{guard: []string{self, "guard"}, state: s.State.path("agent")},
		Config: agent.Config{
			StateDir: s.State.path("agent"), SpoolDir: s.State.path("spool"), SpoolBytes: s.SpoolBytes, InFlight: inFlight,
			Compression: string(codec.Zstd), Options: s.Options, Version: version(),
		},
		Log: s.Log, Now: time.Now, Failpoint: failpoint,
	}
	tuneAgent(&a.Config)
	if s.NoHost {
		return a, nil, nil
	}
	h, err := host.New(host.Config{Root: s.State.path("hosted"), Log: s.Log})
	if err != nil {
		return nil, nil, coffer.Wrap("set up the host of restored servers", err)
	}
	a.Host = hostAdapter{h}
	return a, h, nil
}

// inFlight bounds the parts under way, in bytes. It is less than the archive's own
// default, which let a stalled agent reach 164 MiB (docs/BENCHMARKS.md).
const inFlight = 112 << 20

// limitMemory tells the garbage collector what an agent may use, so that it does
// not let the heap double. More cores have more frames under way. GOMEMLIMIT, where
// set, wins.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(192+16*max(0, runtime.NumCPU()-2)) << 20)
	}
}

// hostAdapter gives the agent the host and its folder.
type hostAdapter struct{ *host.Host }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
