package workload

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
)

// Options say what the clients do.
type Options struct {
	Schema      string // filled by Fill; "" is DefaultSchema
	Seed        uint64
	Workers     int           // transactional clients; 0 is 2
	Pause       time.Duration // of every client between two units of work; 0 is none
	MaxBlob     int           // bytes of the largest document that a transaction writes; 0 is 64 KiB
	NonTrans    bool          // also one client each for the Aria and the MyISAM table
	DDL         bool          // also a client that makes, alters and drops tables
	GTID        bool          // note @@last_gtid of each commit: one more round trip
	JournalFile string        // also write the journal here; "" does not
	StopWithin  time.Duration // how long Stop lets a statement hang; 0 is 15 s
}

// Writer is a set of running clients.
type Writer struct {
	db   *sql.DB
	o    Options
	file *os.File
	stop chan struct{}
	kill context.CancelFunc
	done sync.WaitGroup
	ends sync.Once

	customers int64 // rows that Fill made: shared out among the workers

	trans, nonTrans, ddl []*gauge

	mu      sync.Mutex
	notes   []*notes
	count   int64
	retries int64
	last    error // of the server
	err     error // of the journal's file
}

// Start runs the clients until Stop. They keep trying when the server is away,
// and then find out whether their last unit happened. Ctx is for the whole life
// of the clients; its end cuts their statements short.
func Start(ctx context.Context, db *sql.DB, o Options) (*Writer, error) {
	const op = "start the writers"
	schema, err := useSchema(o.Schema)
	if err != nil {
		return nil, err
	}
	o.Schema = schema
	o.Workers, o.MaxBlob = max(o.Workers, 0), max(o.MaxBlob, 0)
	if o.Workers == 0 {
		o.Workers = 2
	}
	if o.MaxBlob == 0 {
		o.MaxBlob = 64 << 10
	}
	if o.StopWithin == 0 {
		o.StopWithin = 15 * time.Second
	}
	w := &Writer{db: db, o: o, stop: make(chan struct{})}
	if err := w.check(ctx); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	if o.JournalFile != "" {
		if w.file, err = os.OpenFile(o.JournalFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
			return nil, coffer.Wrap(op, err)
		}
		w.write(Journal{Schema: schema})
	}
	ctx, w.kill = context.WithCancel(ctx)
	w.launch(ctx)
	return w, nil
}

// check looks whether the schema is as Fill left it: a second life of the same
// clients would not know what the first one did.
func (w *Writer) check(ctx context.Context) error {
	var used int64
	err := w.db.QueryRowContext(ctx, "SELECT (SELECT MAX(id) FROM "+w.o.Schema+".customers), (SELECT COUNT(*) FROM "+w.o.Schema+".ledger)").
		Scan(&w.customers, &used)
	if err != nil {
		return err
	}
	if used > 0 {
		return coffer.E(coffer.KindConflict, "look at the ledger", "schema %s has been written before", w.o.Schema)
	}
	return nil
}

// launch starts one goroutine a client. All lists are whole before the first
// runs.
func (w *Writer) launch(ctx context.Context) {
	var clients []func(context.Context)
	add := func(of client, run func(context.Context, *notes, *gauge)) *gauge {
		n, g := &notes{of: of}, &gauge{}
		w.notes = append(w.notes, n)
		clients = append(clients, func(ctx context.Context) { run(ctx, n, g) })
		return g
	}
	for i := 1; i <= w.o.Workers; i++ {
		w.trans = append(w.trans, add(client{"", i}, w.transact))
	}
	if w.o.NonTrans {
		for _, t := range nonTransactional() {
			w.nonTrans = append(w.nonTrans, add(client{t.name, 1}, w.insert))
		}
	}
	if w.o.DDL {
		g := &gauge{}
		w.ddl = append(w.ddl, g)
		clients = append(clients, func(ctx context.Context) { w.define(ctx, g) })
	}
	for _, run := range clients {
		w.done.Go(func() { run(ctx) })
	}
}

// Stop lets every client end its unit, waits for all, and gives the journal. A
// statement that hangs longer than StopWithin is cut short; its outcome stays
// unknown.
func (w *Writer) Stop() Journal {
	w.ends.Do(func() {
		close(w.stop)
		cut := time.AfterFunc(w.o.StopWithin, w.kill)
		w.done.Wait()
		cut.Stop()
		w.kill()
		if w.file != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, n := range w.notes {
				if k := len(n.entries); k > 0 && n.entries[k-1].Returned.IsZero() {
					w.write(n.entries[k-1])
				}
			}
			w.err = errors.Join(w.err, w.file.Close())
		}
	})
	return w.Journal()
}

// Stalls are the longest waits since the start or the last ResetStalls.
func (w *Writer) Stalls() Stalls {
	return Stalls{Commit: longest(w.trans), NonTrans: longest(w.nonTrans), DDL: longest(w.ddl)}
}

// ResetStalls begins the measure anew, so that a quiet time and a backup's time
// can be told apart.
func (w *Writer) ResetStalls() {
	for _, list := range [][]*gauge{w.trans, w.nonTrans, w.ddl} {
		for _, g := range list {
			g.reset()
		}
	}
}

// Done is the number of units that have returned.
func (w *Writer) Done() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// Retries is how often a unit failed and was settled or tried again, and the
// last reason.
func (w *Writer) Retries() (n int64, last error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.retries, w.last
}

func (w *Writer) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retries++
	w.last = err
}

// Err is the first failure to write the journal's file.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// rest pauses between units; it is false when the client shall end.
func (w *Writer) rest(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		select {
		case <-w.stop:
			return false
		case <-ctx.Done():
			return false
		default:
			return true
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.stop:
		return false
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
