package records

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
)

// DB is the records. It may be used by many goroutines.
type DB struct {
	dialect
	writer       *sql.DB // SQLite: one connection; else the same pool as readers
	readers      *sql.DB
	installation coffer.InstallationID

	queue             chan *write // SQLite's
	written, readings *prepared   // SQLite's
	stop              chan struct{}
	once              sync.Once
	mu                sync.RWMutex // held to enter a write, and to close stop
	wg                sync.WaitGroup
}

// Open opens the SQLite file at path, makes it (mode 0600) when it is absent, and
// brings its schema up to date. The folder must exist.
func Open(ctx context.Context, path string) (*DB, error) {
	return OpenSource(ctx, Source{Path: path})
}

// begin makes records of opened pools: the schema is brought up to date first.
func begin(ctx context.Context, in dialect, writer, readers *sql.DB, steps []migration) (*DB, error) {
	in.texts = &texts{}
	d := &DB{dialect: in, writer: writer, readers: readers, queue: make(chan *write, maxBatch), stop: make(chan struct{})}
	d.written, d.readings = newPrepared(writer), newPrepared(readers)
	if err := applyMigrations(ctx, in, writer, steps); err != nil {
		return nil, errors.Join(err, d.closePools())
	}
	if !in.shared {
		d.wg.Go(d.serveWrites)
	}
	if err := d.loadInstallation(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close ends the write queue, waits for the writes at hand, and closes the
// connections. Writes that come later are KindUnavailable.
func (d *DB) Close() error {
	d.once.Do(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		close(d.stop)
	})
	d.wg.Wait()
	return d.closePools()
}

func (d *DB) closePools() error {
	return coffer.Wrap("close the records", errors.Join(d.readings.close(), d.written.close(), d.readers.Close(), d.writer.Close()))
}

// Installation is the name of this set of records, made with them.
func (d *DB) Installation() coffer.InstallationID { return d.installation }

func (d *DB) loadInstallation(ctx context.Context) error {
	return d.write(ctx, "read the installation's id", func(c conn) error {
		id, found, err := one(c, scanString, `SELECT value FROM meta WHERE name = 'installation'`)
		if err != nil {
			return err
		}
		if !found {
			id = coffer.NewUUID()
			if _, err := c.exec(`INSERT INTO meta (name, value) VALUES ('installation', ?)`, id); err != nil {
				return err
			}
		}
		d.installation = coffer.InstallationID(id)
		return nil
	})
}

// reading is a connection of the read pool, bound to one call.
func (d *DB) reading(ctx context.Context) conn {
	if d.pipelined {
		return conn{ctx: ctx, pipe: pgPool{d.readers}, dialect: d.dialect, alone: true}
	}
	if d.shared {
		return conn{ctx: ctx, q: d.readers, dialect: d.dialect, alone: true}
	}
	return conn{ctx: ctx, q: d.readings, dialect: d.dialect}
}

// orNow is t, or the clock when the caller gave none.
func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
