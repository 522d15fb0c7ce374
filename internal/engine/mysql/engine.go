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
}

// Tools are the paths of the programs that the engine runs.
type Tools struct {
	Backup string // mariadb-backup
	Server string // mariadbd
}

// Engine runs MariaDB's tools on one server.
type Engine struct {
	cfg     Config
	dialect dialect
}

// New makes an engine. It does not look at the server yet: that is Probe's.
func New(cfg Config) (*Engine, error) {
	if len(cfg.Guard) == 0 {
		return nil, coffer.E(coffer.KindInternal, "set up the engine", "no guard program is given")
	}
	if cfg.StateDir == "" {
		cfg.StateDir = os.TempDir()
	}
	return &Engine{cfg: cfg, dialect: mariadbBackup()}, nil
}

// Restore turns layers, the full first, into a data folder.
func (e *Engine) Restore(ctx context.Context, target engine.Target, layers []engine.Layer) error {
	tool, err := lookTool(e.cfg.Tools.Backup, e.dialect.program)
	if err != nil {
		return err
	}
	return restore(ctx, restoreEnv{Backup: tool}, target, layers)
}

var _ engine.Engine = (*Engine)(nil)
