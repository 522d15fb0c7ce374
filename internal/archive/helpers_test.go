package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	backupA      = coffer.BackupID("0a000000-0000-4000-8000-00000000000a")
	backupB      = coffer.BackupID("0b000000-0000-4000-8000-00000000000b")
	instance     = coffer.InstanceID("0c000000-0000-4000-8000-00000000000c")
	installation = coffer.InstallationID("0d000000-0000-4000-8000-00000000000d")
	prefix       = "demo/backups/"
)

// quick gives up soon: a test's store does not come back.
var quick = retry.Policy{Min: time.Microsecond, Max: time.Millisecond, Tries: 4}

func intentOf(id coffer.BackupID) archive.Intent {
	return archive.Intent{
		Installation: installation, Backup: id, Project: "demo", Instance: instance,
		Runner: "0e000000-0000-4000-8000-00000000000e/boot",
	}
}

// small cuts everything small, so that little data has many parts.
func small() archive.Options {
	return archive.Options{
		Workers: 2, InFlight: 256 << 10, PartSize: func(int) int64 { return 64 << 10 }, Retry: quick,
	}
}

// content is n bytes that do not compress, the same for the same seed.
func content(seed, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

// words is n bytes that compress well, the same for the same seed.
func words(seed, n int) []byte {
	r := rand.New(rand.NewChaCha8([32]byte{byte(seed)}))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "row %d of the table, value %d\n", b.Len(), r.IntN(8))
	}
	return b.Bytes()[:n]
}

func manifest() archive.Manifest {
	return archive.Manifest{
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"},
		Tool:      "mariadb-backup 10.11.19", Method: "mariabackup",
		Position: coffer.Position{Lineage: coffer.Lineage{Nonce: "n", FirstLSN: 7}, To: 900, Last: 901},
		Sizes:    coffer.Sizes{Data: 5 << 20},
		Started:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// fill creates an archive and writes plain and three index lines into it.
func fill(ctx context.Context, p archive.Place, id coffer.BackupID, plain []byte, o archive.Options) (*archive.Writer, error) {
	w, err := archive.Create(ctx, p, intentOf(id), o)
	if err != nil {
		return nil, err
	}
	for part := range 3 {
		cut := plain[len(plain)*part/3 : len(plain)*(part+1)/3]
		if _, err := w.Write(cut); err != nil {
			return w, err
		}
		if err := w.Index(map[string]any{"name": fmt.Sprintf("t%d.ibd", part), "size": len(cut)}); err != nil {
			return w, err
		}
	}
	return w, nil
}

// commit makes a whole archive.
func commit(t *testing.T, p archive.Place, id coffer.BackupID, plain []byte, o archive.Options) archive.Sealed {
	t.Helper()
	w, err := fill(t.Context(), p, id, plain, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Finish(t.Context(), manifest())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := w.Commit(t.Context()); out != archive.Done || err != nil {
		t.Fatalf("commit: %v, %v", out, err)
	}
	return s
}

func memory() (archive.Place, *storetest.Memory) {
	m := storetest.NewMemory()
	return archive.Place{Store: m, Prefix: prefix}, m
}

func want(sum string, ids ...age.Identity) archive.Want {
	return archive.Want{ManifestSHA256: sum, Identities: ids, Workers: 2, Retry: quick}
}

// readBack opens and reads the whole stream.
func readBack(ctx context.Context, p archive.Place, id coffer.BackupID, w archive.Want) ([]byte, error) {
	a, err := archive.Open(ctx, p, id, w)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r, err := a.Stream(ctx)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return b, err
}

func mustRead(t *testing.T, p archive.Place, id coffer.BackupID, w archive.Want, plain []byte) {
	t.Helper()
	got, err := readBack(context.WithoutCancel(t.Context()), p, id, w)
	if err != nil {
		t.Fatalf("read back: %v", err)
	}
	if !bytes.Equal(got, plain) {
		t.Fatalf("read back %d bytes that are not the %d written", len(got), len(plain))
	}
}

// names lists a store, prefix removed.
func names(t *testing.T, s store.Store) []string {
	t.Helper()
	var all []string
	for o, err := range s.List(context.WithoutCancel(t.Context()), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimPrefix(o.Name, prefix))
	}
	return all
}

// uploads counts what was begun and not ended.
func uploads(t *testing.T, s store.Full) int {
	t.Helper()
	n := 0
	for _, err := range s.Stale(context.WithoutCancel(t.Context()), "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func wantKind(t *testing.T, what string, err error, kind coffer.Kind, mentions ...string) {
	t.Helper()
	if coffer.KindOf(err) != kind {
		t.Fatalf("%s: want kind %s, got %q: %v", what, kind, coffer.KindOf(err), err)
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("%s: %q does not name %q", what, err, m)
		}
	}
}
