package bench

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/records"
)

const (
	apiRows    = 100_000 // backups that are there already
	apiCreates = 4000
	apiLists   = 2000
	apiCallers = 16
	apiToken   = "token-of-the-benchmark-0123456789"
)

// BenchmarkAPI is the API over HTTP on loopback with its records in SQLite, every
// commit on the disk: creating backups beside 100,000 others by 16 callers at
// once, and listing 20 of them, by the first page and by pages anywhere.
func BenchmarkAPI(b *testing.B) {
	path := filepath.Join(folder(b), "records.db")
	db, err := records.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if err := old(b.Context(), path); err != nil {
		b.Fatal(err)
	}
	ids := instances(b, db)
	w := serve(b, db)
	for b.Loop() {
		took, all := w.create(b, ids)
		b.ReportMetric(float64(len(took))/all.Seconds(), "create/s")
		b.ReportMetric(p99(took), "create_p99_ms")
		b.ReportMetric(p99(w.list(b, func(int) int { return 0 })), "list_p99_ms")
		b.ReportMetric(p99(w.list(b, func(i int) int { return i * 7919 % apiRows })), "anywhere_p99_ms")
	}
	b.ReportMetric(0, "ns/op")
}

func p99(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)*99/100]) / float64(time.Millisecond)
}

// old writes the rows of backups that have ended long ago, past the rules.
func old(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	pos, err := json.Marshal(coffer.Position{To: 1 << 40, Lineage: coffer.Lineage{Nonce: coffer.NewNonce()}, GTID: "0-1-123456"})
	if err != nil {
		return err
	}
	st, err := tx.PrepareContext(ctx, `INSERT INTO backups (id, project, instance, name, state, root, type, ds_type, ds_version,
		ds_version_id, store, container, pos, location, manifest, created, updated, ended)
		VALUES (?, ?, ?, ?, 'COMPLETED', ?, 'full', 'mariadb', '10.11', ?, 'main', 'c', ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer st.Close()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range apiRows {
		id, t := coffer.NewUUID(), at.Add(time.Duration(i)*time.Minute).UnixMicro()
		if _, err := st.ExecContext(ctx, id, auth.LocalProject, fmt.Sprint("old-", i%500), "backup-"+id, id,
			coffer.NewUUID(), string(pos), "file:///backups/default/c/"+id, id+id, t, t, t); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// instances makes one for each backup: an instance has one job at a time.
func instances(b *testing.B, db *records.DB) []coffer.InstanceID {
	b.Helper()
	ids := make([]coffer.InstanceID, apiCreates)
	var wg sync.WaitGroup
	for g := range apiCallers {
		wg.Go(func() {
			for i := g; i < len(ids); i += apiCallers {
				ids[i] = coffer.InstanceID(coffer.NewUUID())
				if err := db.CreateInstance(b.Context(), coffer.Instance{
					ID: ids[i], Project: auth.LocalProject, Name: fmt.Sprint("db-", i), Kind: coffer.Registered, Status: "ACTIVE",
					Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"},
				}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return ids
}

// web is a running API and a client of it.
type web struct {
	url    string
	client *http.Client
}

func serve(b *testing.B, db *records.DB) web {
	b.Helper()
	who, err := auth.NewStatic([]auth.Entry{{Token: apiToken, Project: auth.LocalProject, User: "bench", Roles: []string{auth.AdminRole}}})
	if err != nil {
		b.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	h := api.New(api.Config{Records: db, Bus: local.New(), Auth: who, Stores: []string{"main"}, Quota: -1, Log: quiet})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := api.Server(h, quiet)
	go s.Serve(ln) // until Close
	b.Cleanup(func() { s.Close() })
	return web{
		url:    fmt.Sprintf("http://%s/v1.0/%s/backups", ln.Addr(), auth.LocalProject),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: apiCallers}},
	}
}

// do sends one request and reads the whole answer.
func (w web) do(ctx context.Context, method, url string, body []byte, want int) (time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("X-Auth-Token", apiToken)
	r.Header.Set("Content-Type", "application/json")
	from := time.Now()
	got, err := w.client.Do(r)
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(got.Body)
	took := time.Since(from)
	got.Body.Close()
	if err == nil && got.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %s", method, url, got.Status, text)
	}
	return took, err
}

func (w web) create(b *testing.B, ids []coffer.InstanceID) (took []time.Duration, all time.Duration) {
	b.Helper()
	took = make([]time.Duration, len(ids))
	var wg sync.WaitGroup
	from := time.Now()
	for g := range apiCallers {
		wg.Go(func() {
			for i := g; i < len(ids); i += apiCallers {
				body := fmt.Appendf(nil, `{"backup":{"name":"nightly","instance":"%s"}}`, ids[i])
				var err error
				if took[i], err = w.do(b.Context(), http.MethodPost, w.url, body, http.StatusAccepted); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return took, time.Since(from)
}

func (w web) list(b *testing.B, marker func(i int) int) []time.Duration {
	b.Helper()
	took := make([]time.Duration, apiLists)
	for i := range took {
		var err error
		url := fmt.Sprintf("%s?limit=20&marker=%d", w.url, marker(i))
		if took[i], err = w.do(b.Context(), http.MethodGet, url, nil, http.StatusOK); err != nil {
			b.Fatal(err)
		}
	}
	return took
}
