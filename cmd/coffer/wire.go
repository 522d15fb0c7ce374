package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/agent"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/conductor"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/enrol"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/keyring"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/settle"
	"github.com/cofferdb/coffer/internal/taskmanager"
	"github.com/cofferdb/coffer/internal/trovelink"
)

// This file and its neighbours wire_bus.go, wire_enrol.go, wire_records.go,
// wire_stores.go and wire_trove.go alone name adapters: which store, which bus, which
// engine. A new one is a folder of its own, a line there, and its contract's suite.

// settings are what the parts of one process are made from.
type settings struct {
	Config    config.Config
	Role      config.Role // RoleServer has every part
	State     stateDir    // of an agent, or of a whole server
	MakeStore bool        // make the folders of stores
	Log       *slog.Logger
}

// embedded completes a configuration with what lies below one state folder.
func embedded(c config.Config, s stateDir) config.Config {
	if c.Records.Path == "" && c.Records.URL == "" {
		c.Records.Path = s.path("records.db")
	}
	if len(c.Stores) == 0 {
		c.Stores = map[string]config.Store{defaultStore: {Kind: config.File, Path: s.path("store")}}
	}
	k := &c.Keys
	if f := s.path("keys", "identity.txt"); k.IdentityFile == "" && exists(f) {
		k.IdentityFile = f
	}
	if f := s.path("keys", "recipients.txt"); len(k.Recipients) == 0 && k.RecipientsFile == "" && exists(f) {
		k.RecipientsFile = f
	}
	return c
}

// parts are the roles of one process and what they share; those that the role does
// not have are nil.
type parts struct {
	db         *records.DB
	bus        bus.Bus
	closeBus   func() error
	stores     *stores
	ring       *keyring.Ring
	host       *host.Host
	settler    *settle.Settler
	conductor  *conductor.Conductor
	tasks      *taskmanager.TaskManager
	sweeps     *taskmanager.TaskManager // for whoever asks the API
	agent      *agent.Agent
	guest      *trovelink.Guest   // in the agent's place, under Trove
	control    *trovelink.Control // has Trove's guests
	desk       *enrol.Desk
	recipients int
}

func (p *parts) close() error {
	var err error
	if p.closeBus != nil {
		err = p.closeBus()
	}
	if p.db != nil {
		err = errors.Join(err, p.db.Close())
	}
	return err
}

// assemble makes every part that the role has; nothing runs yet.
func assemble(ctx context.Context, s settings) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.stores, err = openStores(s.Config, s.MakeStore); err != nil {
		return nil, err
	}
	if s.Role != config.RoleAgent {
		if p.db, err = openRecords(ctx, s.Config, s.Log); err != nil {
			return nil, err
		}
	}
	b, closing, err := openBus(s)
	if err != nil {
		return nil, err
	}
	p.bus, p.closeBus = finishing{failpointBus(b)}, closing
	if s.guest() {
		p.guest, err = newGuest(s, p.bus)
		return p, err
	}
	if s.hasGuests() {
		if p.control, err = newControl(s, p.db); err != nil {
			return nil, err
		}
		p.bus = p.control.Over(p.bus)
	}
	if p.ring, err = openRing(s.Config.Keys, p.db, p.stores); err != nil {
		return nil, err
	}
	p.recipients = len(p.ring.Recipients)
	if p.desk, err = p.openDesk(s); err != nil {
		return nil, err
	}
	return p, p.roles(s)
}

func (p *parts) roles(s settings) (err error) {
	all := s.Role == config.RoleServer
	boot := coffer.NewNonce()
	if all || s.Role == config.RoleAgent {
		if p.agent, p.host, err = newAgent(s, boot, p.bus, p.stores, p.ring); err != nil {
			return err
		}
	}
	if p.db != nil {
		p.settler = &settle.Settler{Records: p.db, Stores: p.stores, Now: clock, Failpoint: failpoint}
	}
	if all || s.Role == config.RoleConductor {
		p.conductor = &conductor.Conductor{
			Records: p.db, Bus: p.bus, Settler: p.settler, Keys: p.ring, Log: s.Log, Now: clock,
			Workers: s.Config.Conductor.Workers, Senders: senders(s.Config.Bus),
		}
		if p.desk != nil {
			p.conductor.Accounts = p.desk.Grant
		}
	}
	if all || s.Role == config.RoleTasks {
		p.tasks = p.manage(s, boot)
		p.sweeps = p.tasks
	}
	if s.Role == config.RoleAPI {
		p.sweeps = p.manage(s, boot) // which does not run
	}
	return nil
}

// manage makes the task manager. One that shares a state folder with an agent has
// its name, and the lock on the folder proves that every earlier life has ended.
func (p *parts) manage(s settings, boot string) *taskmanager.TaskManager {
	id := coffer.AgentID(coffer.NewUUID())
	var dead func(coffer.Runner) bool
	if p.agent != nil {
		id = p.agent.ID
		dead = func(r coffer.Runner) bool { return r.Agent() == id && r.Boot() != boot }
	}
	c := s.Config.TaskManager
	t := &taskmanager.TaskManager{
		ID: id, Boot: boot, Records: p.db, Bus: p.bus, Stores: p.stores, Settler: p.settler,
		Keys: p.ring, Trove: p.stores, Log: s.Log, Now: clock, Dead: dead,
		Caps:   taskmanager.Caps{Host: c.MaxJobsPerHost, Store: c.MaxJobsPerStore, Fleet: c.MaxJobs},
		Chains: taskmanager.Chains{MaxLinks: c.MaxLinks, Quota: s.Config.API.Quota},
	}
	t.Timings.MaxQueue = c.MaxQueue
	tuneTasks(&t.Timings)
	return t
}

func newAgent(s settings, boot string, b bus.Bus, st *stores, keys agent.Keys) (*agent.Agent, *host.Host, error) {
	id, err := s.State.once("agent/id", coffer.NewUUID)
	if err != nil {
		return nil, nil, err
	}
	c := s.Config.Agent
	all, err := newEngines(s)
	if err != nil {
		return nil, nil, err
	}
	a := &agent.Agent{
		ID: coffer.AgentID(id), Boot: boot, Bus: b, Stores: st, Keys: keys, Trove: st,
		Engines: all,
		Config: agent.Config{
			StateDir: s.State.path("agent"), SpoolDir: s.State.path("spool"), SpoolBytes: int64(c.SpoolBytes),
			Compression: string(codec.Zstd), Version: version(), StopWait: c.StopWait,
			Options: bounds(c),
		},
		Log: s.Log, Now: clock, Failpoint: failpoint,
	}
	tuneAgent(&a.Config)
	if !c.Host {
		return a, nil, nil
	}
	root := c.HostDir
	if root == "" {
		root = s.State.path("hosted")
	}
	h, err := host.New(host.Config{Root: root, Log: s.Log})
	if err != nil {
		return nil, nil, coffer.Wrap("set up the host of restored servers", err)
	}
	a.Host = hostAdapter{h}
	return a, h, nil
}

// newEngines makes the engines of an agent's databases.
func newEngines(s settings) (engines, error) {
	self, err := os.Executable()
	if err != nil {
		return engines{}, coffer.E(coffer.KindInternal, "find this program", "%w", err)
	}
	runner, err := s.Config.Agent.Runner()
	if err != nil {
		return engines{}, coffer.Wrap("read how backups are made", err)
	}
	return engines{guard: []string{self, "guard"}, state: s.State.path("agent"), runner: runner}, nil
}

// bounds are how long a backup may hold up others.
func bounds(c config.Agent) engine.Options {
	return engine.Options{MaxDDLWait: c.MaxDDLWait, MaxBlock: c.MaxBlock, MaxBlockNonTrans: c.MaxBlockNonTrans}
}

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
