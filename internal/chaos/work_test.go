package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

// shop is one database with its agent. Its table t holds 1, 2, 3 …, one more before
// each backup.
type shop struct {
	agent    *role
	db       *sql.DB
	instance coffer.InstanceID
	rows     int
}

func newShop(t *testing.T) (*shop, *testenv.Server) {
	t.Helper()
	src := testenv.MariaDB(t, testenv.MariaDBOptions{})
	src.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (i INT PRIMARY KEY, v VARCHAR(500)) ENGINE=InnoDB")
	return &shop{db: src.DB(t)}, src
}

// made is one backup as the one who asked for it knows it.
type made struct {
	id     coffer.BackupID
	key    string
	shop   *shop
	rows   int // committed before it was asked for
	asked  time.Time
	seen   time.Time // when it was first seen ended; zero is later
	inc    bool
	row    rest.Backup // in the end
	runner coffer.Runner
}

// work makes backups of all shops beside each other.
type work struct {
	f     *fleet
	limit int64
	begun atomic.Int64

	mu   sync.Mutex
	made []*made
}

// run makes backups of one shop, one after another, until enough were begun; for the
// last one it does not wait.
func (w *work) run(ctx context.Context, s *shop, dice *rand.Rand) error {
	for w.begun.Add(1) <= w.limit {
		m, err := w.create(ctx, s, dice)
		if err != nil {
			return err
		}
		for w.begun.Load() < w.limit {
			b, err := w.f.show(ctx, dice.IntN(2), m.id)
			if err != nil {
				return err
			}
			if !b.State.Running() {
				m.seen = time.Now()
				break
			}
			<-time.After(150 * time.Millisecond)
		}
	}
	return nil
}

// create writes a row, and asks for a backup through one API; after an error, and now
// and then without one, through the other with the same key.
func (w *work) create(ctx context.Context, s *shop, dice *rand.Rand) (*made, error) {
	s.rows++
	if _, err := s.db.ExecContext(ctx, "INSERT INTO shop.t VALUES (?, REPEAT('x', 400))", s.rows); err != nil {
		return nil, err
	}
	m := &made{key: fmt.Sprintf("%s-%d", s.agent.name, s.rows), shop: s, rows: s.rows, inc: dice.IntN(3) > 0}
	api, again := dice.IntN(2), dice.IntN(4) == 0
	id, err := w.post(ctx, api, m)
	if err != nil {
		return nil, err
	}
	m.id = id
	w.mu.Lock()
	w.made = append(w.made, m)
	w.mu.Unlock()
	if again {
		if id, err = w.post(ctx, api+1, m); err == nil && id != m.id {
			err = fmt.Errorf("the key %s made %s and %s", m.key, m.id, id)
		}
	}
	return m, err
}

func (w *work) post(ctx context.Context, api int, m *made) (coffer.BackupID, error) {
	body := trove.BackupCreate{Name: m.key, Instance: string(m.shop.instance)}
	if m.inc {
		body.Incremental = 1
	}
	if m.asked.IsZero() {
		m.asked = time.Now()
	}
	for {
		b, err := ask(ctx, w.f, api, func(ctx context.Context, cl *client.Client) (trove.Backup, error) {
			return cl.CreateBackup(ctx, body, m.key)
		})
		if err == nil || !coffer.IsKind(err, coffer.KindBusy, coffer.KindConflict, coffer.KindUnprocessable) || ctx.Err() != nil {
			return coffer.BackupID(b.ID), err
		}
		<-time.After(200 * time.Millisecond) // the instance is not free
		m.asked = time.Now()
	}
}
