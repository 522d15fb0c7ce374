package mysql

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// ledgerStage is a private MariaDB for the ledger's law.
type ledgerStage struct {
	*testenv.Server
	e *Engine
}

func (s ledgerStage) Target(t testing.TB) engine.Target { return newTarget(t) }

func (s ledgerStage) Serve(t testing.TB, dir string) *sql.DB { return startWith(t, s.e, dir).DB(t) }

var _ enginetest.Stage = ledgerStage{}

// onLedger opens a fresh server beneath an engine of a method.
func onLedger(m engine.Method) func(t *testing.T) (engine.Engine, enginetest.Stage) {
	return func(t *testing.T) (engine.Engine, enginetest.Stage) {
		testenv.Need(t, "mariadb-backup")
		s := testenv.MariaDB(t, testenv.MariaDBOptions{LogBin: true, LogFileMB: 128})
		e := engineOf(t, s)
		if m == engine.MySQLDump {
			e = dumperOf(t, s, engine.Runner{})
		}
		e.cfg.Method = m
		return e, ledgerStage{s, e}
	}
}

var ledgerMethods = []engine.Method{engine.MariaBackup, engine.MySQLDump, engine.InnoBackupEx}

// Two random schedules: one of a method that makes increments, and a dump's.
func TestLedger(t *testing.T) {
	t.Parallel()
	physical := []engine.Method{engine.MariaBackup, engine.InnoBackupEx}[rand.IntN(2)]
	for _, m := range []engine.Method{physical, engine.MySQLDump} {
		t.Run(m.Class(false), func(t *testing.T) {
			t.Parallel()
			enginetest.RunLedger(t, rand.Uint64(), onLedger(m))
		})
	}
}

// Thirty of each method.
func TestHeavyLedger(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("COFFER_HEAVY is not set")
	}
	for i := range 30 {
		for _, m := range ledgerMethods {
			t.Run(fmt.Sprintf("%s/%d", m.Class(false), i), func(t *testing.T) {
				enginetest.RunLedger(t, rand.Uint64(), onLedger(m))
			})
		}
	}
}
