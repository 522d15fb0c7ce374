package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/workload"
)

// Stage is a fresh server with a binary log and nothing in it, as the ledger's law
// needs it.
type Stage interface {
	// DB is a connection of an account that may do everything.
	DB(t testing.TB) *sql.DB
	// Target makes an empty folder to restore into.
	Target(t testing.TB) engine.Target
	// Serve starts a server on a restored folder; it ends with the test.
	Serve(t testing.TB, dir string) *sql.DB
}

// RunLedger holds an engine to its position, whatever its method: clients write all
// the time and keep their own ledger outside of the database; at random moments
// backups are taken, a chain of them where the method has increments, while other
// clients alter, rename, truncate and drop tables; and what is restored holds exactly
// the transactions up to the position that the backup names. The seed makes the
// schedule.
func RunLedger(t *testing.T, seed uint64, open func(t *testing.T) (engine.Engine, Stage)) {
	t.Logf("seed %d", seed)
	e, stage := open(t)
	r := &schedule{t: t, engine: e, stage: stage, rng: rand.New(rand.NewPCG(seed, 1))}
	facts, err := e.Probe(t.Context(), engine.Base{})
	if err != nil {
		t.Fatalf("probe: %v (%s)", err, coffer.HintOf(err))
	}
	r.method = facts.Method
	db := stage.DB(t)
	if err := workload.Fill(t.Context(), db, workload.FillOptions{Seed: seed, Bytes: 2 << 20}); err != nil {
		t.Fatal(err)
	}
	w, err := workload.Start(t.Context(), db, workload.Options{
		Seed: seed, GTID: true, NonTrans: true, Pause: time.Millisecond, MaxBlob: 8 << 10, DDL: r.method.Increments(),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.writer = w
	stop := func() {}
	if r.method.Increments() { // a dump is failed by DDL, which is no matter of this law
		stop = r.churn(db)
	}
	r.takeAll()
	stop()
	r.journal = w.Stop()
	r.restoreSome()
}

// schedule is one run of the law.
type schedule struct {
	t       *testing.T
	engine  engine.Engine
	stage   Stage
	method  engine.Method
	rng     *rand.Rand
	writer  *workload.Writer
	journal workload.Journal
	links   []link
}

// link is one backup, and when it was taken.
type link struct {
	layer         engine.Layer
	position      coffer.Position
	before, after time.Time
}

// takeAll takes a chain of random length, or as many dumps.
func (s *schedule) takeAll() {
	s.t.Helper()
	var base engine.Base
	for n, tries := 1+s.rng.IntN(4), 0; n > 0; {
		s.awaitUnits(20 + s.rng.Int64N(150))
		if !s.method.Increments() {
			s.links = nil
		}
		before := time.Now()
		layer, next, err := s.take(base)
		if err != nil {
			// DDL in mid-backup may fail it, and then it must have said so.
			if tries++; tries > 8 || !coffer.IsKind(err, coffer.KindTool, coffer.KindNeedFull, coffer.KindUnavailable) {
				s.t.Fatalf("backup: %v (%s)", err, coffer.HintOf(err))
			}
			s.t.Logf("taken again: %v", err)
			if coffer.IsKind(err, coffer.KindNeedFull) {
				base, s.links = engine.Base{}, nil
			}
			continue
		}
		n--
		s.links = append(s.links, link{layer: layer, position: layer.At, before: before, after: time.Now()})
		if s.method.Increments() {
			base = next
		}
	}
}

func (s *schedule) take(base engine.Base) (*Layer, engine.Base, error) {
	if _, err := s.engine.Probe(s.t.Context(), base); err != nil {
		return nil, base, err
	}
	var out Recorder
	res, err := s.engine.Backup(s.t.Context(), &out, base, engine.Options{})
	if err != nil {
		return nil, base, err
	}
	id := coffer.BackupID(coffer.NewUUID())
	return out.Layer(id, res.Position), engine.Base{Backup: id, Position: res.Position, Summary: res.Summary}, nil
}

// awaitUnits waits until the clients have done n more units.
func (s *schedule) awaitUnits(n int64) {
	s.t.Helper()
	want := s.writer.Done() + n
	deadline := time.Now().Add(time.Minute)
	for s.writer.Done() < want {
		if time.Now().After(deadline) {
			_, last := s.writer.Retries()
			s.t.Fatalf("the clients stand still: %v", last)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// restoreSome restores the last link, and another one where there is one, each in a
// random way, and holds what is there against the ledger.
func (s *schedule) restoreSome() {
	s.t.Helper()
	picked := []int{len(s.links) - 1}
	if other := s.rng.IntN(len(s.links)); other != picked[0] {
		picked = append(picked, other)
	}
	for _, i := range picked {
		target := s.stage.Target(s.t)
		what := fmt.Sprintf("link %d of %d", i+1, len(s.links))
		var layers []engine.Layer
		if !s.method.Increments() {
			layers = []engine.Layer{s.links[i].layer}
			if s.rng.IntN(2) == 0 {
				target.Databases = []string{workload.DefaultSchema}
				what += ", one database"
			}
		} else {
			layers, target.Way = s.chain(i)
			what += ", " + string(target.Way)
		}
		if err := s.engine.Restore(s.t.Context(), target, layers); err != nil {
			s.t.Errorf("%s: %v (%s)", what, err, coffer.HintOf(err))
			continue
		}
		s.check(what, s.stage.Serve(s.t, target.Dir), s.links[i])
	}
}

// chain is what stands up to a link, and one of the ways in which it can be restored:
// a chain of which the stock tool would lose a table is refused step by step.
func (s *schedule) chain(i int) (layers []engine.Layer, way engine.Way) {
	s.t.Helper()
	var positions []coffer.Position
	for _, l := range s.links[:i+1] {
		layers, positions = append(layers, l.layer), append(positions, l.position)
	}
	way = []engine.Way{engine.Stepwise, engine.Merged}[s.rng.IntN(2)]
	if way != engine.Stepwise || len(positions) < 2 || coffer.Applicable(positions) == nil {
		return layers, way
	}
	target := s.stage.Target(s.t)
	target.Way = way
	if err := s.engine.Restore(s.t.Context(), target, layers); !coffer.IsKind(err, coffer.KindUnsupported) {
		s.t.Errorf("link %d, step by step: %v, where a merge alone can do it", i+1, err)
	}
	return layers, engine.Merged
}

// check compares a restored database with the ledger: in itself, and with the
// position by GTID, of which every transaction is one.
func (s *schedule) check(what string, db *sql.DB, l link) {
	s.t.Helper()
	r, err := workload.Check(s.t.Context(), db, s.journal, l.before, l.after)
	if err != nil {
		s.t.Errorf("%s: %v\n%s", what, err, strings.Join(r.Problems, "\n"))
		return
	}
	if err := workload.CheckTables(s.t.Context(), db, workload.DefaultSchema); err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
	last, err := lastOf(s.t.Context(), db)
	if err != nil {
		s.t.Fatal(err)
	}
	at := sequence(l.position.GTID)
	if at == 0 {
		s.t.Errorf("%s: the position names no GTID: %s", what, l.position)
	}
	wrong, judged := 0, 0
	for _, e := range s.journal.Entries {
		n := sequence(e.GTID)
		if e.Table != "" || n == 0 {
			continue
		}
		judged++
		if there := e.Seq <= last[e.Worker]; there != (n <= at) {
			wrong++
			s.t.Logf("%s: transaction %d of worker %d is %s, the position is %s; it is there: %v", what, e.Seq, e.Worker, e.GTID, l.position.GTID, there)
		}
	}
	if wrong > 0 || judged == 0 {
		s.t.Errorf("%s: %d of %d transactions are on the wrong side of the position", what, wrong, judged)
	}
	s.t.Logf("%s: %d transactions, %d rows, at %s", what, r.Transactions, r.Rows, l.position.GTID)
}

// lastOf is each worker's last transaction in a restored ledger.
func lastOf(ctx context.Context, db *sql.DB) (map[int]int64, error) {
	rows, err := db.QueryContext(ctx, "SELECT worker, MAX(seq) FROM "+workload.DefaultSchema+".ledger GROUP BY worker")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	last := map[int]int64{}
	for rows.Next() {
		var worker int
		var seq int64
		if err := rows.Scan(&worker, &seq); err != nil {
			return nil, err
		}
		last[worker] = seq
	}
	return last, rows.Err()
}

// sequence is the last number of a GTID of one domain; 0 is none.
func sequence(gtid string) uint64 {
	n, _ := strconv.ParseUint(gtid[strings.LastIndexByte(gtid, '-')+1:], 10, 64)
	return n
}
