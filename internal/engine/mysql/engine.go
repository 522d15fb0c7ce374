package mysql

import (
	"context"
	"os"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/guard"
)

// Config binds an engine to one server, or, with a zero Conn, to none: then it
// can only restore.
type Config struct {
	Conn     coffer.Conn
	Guard    []string    // command line of the guard program
	Tools    Tools       // looked up where empty
	StateDir string      // private folder for a run's files, also the default place of the spool; "" is the system's temporary one
	Rules    guard.Rules // only the timings; zero values are the usual ones
	Runner   engine.Runner
	Method   engine.Method // "" leaves the choice to Runner
}

// Tools are the paths of the programs that the engine runs.
type Tools struct {
	Backup       string // mariadb-backup
	XtraBackup   string // Percona's xtrabackup
	InnoBackupEx string // Percona's innobackupex
	Dump         string // mariadb-dump
	Server       string // mariadbd
	Client       string // mariadb
	Install      string // mariadb-install-db
}

// Engine runs the tools of MariaDB, or Percona's for MySQL, on one server.
type Engine struct {
	cfg Config
}

// New makes an engine. It does not look at the server yet: that is Probe's.
func New(cfg Config) (*Engine, error) {
	if len(cfg.Guard) == 0 {
		return nil, coffer.E(coffer.KindInternal, "set up the engine", "no guard program is given")
	}
	if cfg.StateDir == "" {
		cfg.StateDir = os.TempDir()
	}
	cfg.Runner = cfg.Runner.For(cfg.Conn.Polite)
	if err := cfg.Runner.Check(); err != nil {
		return nil, err
	}
	return &Engine{cfg: cfg}, nil
}

// With gives an engine on the same server that uses one method, whatever is
// configured; "" changes nothing. The name is a manifest's or one of Trove's.
func (e *Engine) With(method string) (engine.Engine, error) {
	if method == "" {
		return e, nil
	}
	m, err := coffer.ParseMethod(method)
	if err != nil {
		return nil, err
	}
	cfg := e.cfg
	cfg.Method = m
	return &Engine{cfg: cfg}, nil
}

// Restore turns layers, the full first, into a data folder.
func (e *Engine) Restore(ctx context.Context, target engine.Target, layers []engine.Layer) error {
	if e.cfg.Method == engine.MySQLDump {
		return e.load(ctx, target, layers)
	}
	if len(target.Databases) > 0 {
		return coffer.E(coffer.KindUnsupported, opRestore, "one database can be taken out of a dump only, and this is a backup of files").
			WithHint("restore all of it, or take a backup with MySQLDump")
	}
	d := dialectOf(engine.MariaBackup)
	if len(layers) > 0 {
		d = dialectOfLayer(e.cfg.Method, layers[0].Position().ServerVersion)
	}
	tool, err := lookTool(d.path(e.cfg.Tools), d.program)
	if err != nil {
		return err
	}
	return restore(ctx, restoreEnv{Backup: tool, Dialect: d}, target, layers)
}

var _ engine.Engine = (*Engine)(nil)
