package histories

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/workload"
)

func TestMain(m *testing.M) {
	guard.Hook()
	goleak.VerifyTestMain(m)
}

// history is one seed's.
type history struct {
	t        *testing.T
	seed     uint64
	heavy    bool
	server   *testenv.Server
	db       *sql.DB
	engine   *mysql.Engine
	restorer *mysql.Engine
	words    string // the file of what the tool says in restores
	actor    *actor
	writer   *workload.Writer

	chains  [][]taken
	refused map[string]int
}

func seeds(t *testing.T, first, n uint64) []uint64 {
	t.Helper()
	if s := os.Getenv("COFFER_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	var all []uint64
	for i := range n {
		all = append(all, first+i)
	}
	return all
}

// TestHistories plays three seeds, shortly.
func TestHistories(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t, 1, 3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			play(t, seed, false)
		})
	}
}

// TestHeavyHistories plays thirty, with longer chains, and also restores every link
// by the stock way.
func TestHeavyHistories(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("COFFER_HEAVY is not set")
	}
	for _, seed := range seeds(t, 101, 30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { play(t, seed, true) })
	}
}

// play takes chains in the midst of a history and judges every link.
func play(t *testing.T, seed uint64, heavy bool) {
	h := begin(t, seed, heavy)
	links, ops := 2, 8
	if heavy {
		links, ops = 4, 20
	}
	h.grow(links, ops)
	h.writer.Stop()
	h.t.Logf("seed %d: %d steps, %d transactions, chains %v, refused %v, undo tablespaces truncated %s times",
		seed, len(h.actor.journal()), h.writer.Done(), h.lengths(), h.refused, h.status("Innodb_undo_truncations"))
	h.server.Kill()
	for c, chain := range h.chains {
		for i := range chain {
			if i > 0 || heavy {
				t.Run(fmt.Sprintf("chain %d, link %d", c, i), func(t *testing.T) { h.restore(t, chain[:i+1], i == len(chain)-1) })
			}
		}
	}
}

func begin(t *testing.T, seed uint64, heavy bool) *history {
	testenv.Need(t, "mariadb-backup")
	t.Logf("repeat with COFFER_SEED=%d", seed)
	ctx := t.Context()
	h := &history{t: t, seed: seed, heavy: heavy, refused: map[string]int{}}
	h.server = testenv.MariaDB(t, testenv.MariaDBOptions{LogFileMB: 128, ExtraConfig: []string{
		"innodb_data_file_path = ibdata1:12M;ibdata2:4M:autoextend", "innodb_undo_tablespaces = 3", "innodb_undo_log_truncate = ON",
		"innodb_max_undo_log_size = 10M", "innodb_purge_rseg_truncate_frequency = 1",
		"innodb_flush_method = nosync", "innodb_stats_persistent = OFF", // a renamed table may meet the statistics of a dropped one
	}})
	h.db = h.server.DB(t)
	var err error
	if h.engine, err = mysql.New(mysql.Config{
		Conn: coffer.Conn{Socket: h.server.Socket, CredentialsFile: h.server.CredentialsFile}, Guard: guard.Self(), StateDir: t.TempDir(),
	}); err != nil {
		t.Fatal(err)
	}
	h.restorer = overheard(t, &h.words)
	if err := workload.Fill(ctx, h.db, workload.FillOptions{Seed: seed, Bytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	if h.actor, err = newActor(ctx, h.server, h.db, seed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.actor.conn.Close() })
	if err := h.actor.play(ctx, append(h.actor.lab.dress(), h.actor.lab.begin()...)); err != nil {
		t.Fatal(err)
	}
	pause := 25 * time.Millisecond
	if heavy {
		pause = 3 * time.Millisecond
	}
	h.writer, err = workload.Start(context.WithoutCancel(ctx), h.db, workload.Options{
		Seed: seed, Workers: 2, Pause: pause, MaxBlob: 32 << 10, NonTrans: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.writer.Stop() })
	return h
}

// grow takes a full and increments until there are so many links; what is refused is
// followed by a full. Before each backup ops are played in quiet, and during it, up to
// a time when too many were refused. (Where Aria tables are renamed meanwhile most
// backups are refused, so this is seldom done.)
func (h *history) grow(links, ops int) {
	var base engine.Base
	for got, tries := 0, 0; got < links; tries++ {
		if tries == 5*links {
			h.t.Fatalf("seed %d: of %d backups too many were refused: %v", h.seed, tries, h.refused)
		}
		if err := h.actor.act(h.t.Context(), ops/2); err != nil {
			h.t.Fatalf("seed %d: the actor: %v", h.seed, err)
		}
		during := ops
		if tries >= 2*links {
			during = 0
		}
		h.actor.lab.inno = h.actor.lab.rnd.IntN(5) > 0
		b, err := h.take(h.t.Context(), base, during)
		h.actor.lab.inno = false
		switch {
		case err == nil && base.Full():
			h.chains = append(h.chains, []taken{b})
		case err == nil:
			last := len(h.chains) - 1
			h.chains[last] = append(h.chains[last], b)
			got++
		default:
			h.refuse(err, base.Full())
		}
		base = b.next // the zero base after a refusal
	}
}

// refuse notes a refusal that is allowed.
func (h *history) refuse(err error, full bool) {
	kind := coffer.KindOf(err)
	if kind != coffer.KindNeedFull && kind != coffer.KindTool && kind != coffer.KindUnavailable || kind == coffer.KindNeedFull && full {
		h.t.Fatalf("seed %d: a backup ended with %v", h.seed, err)
	}
	h.t.Logf("seed %d: refused: %v", h.seed, err)
	h.refused[string(kind)]++
}

func (h *history) lengths() (all []int) {
	for _, c := range h.chains {
		all = append(all, len(c))
	}
	return all
}

func (h *history) status(name string) string {
	var was, value string
	if err := h.db.QueryRowContext(h.t.Context(), "SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&was, &value); err != nil {
		h.t.Errorf("status %s: %v", name, err)
	}
	return value
}
