package s3_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/retry"
)

const (
	kept  = coffer.BackupID("0a000000-0000-4000-8000-00000000000a")
	ended = coffer.BackupID("0b000000-0000-4000-8000-00000000000b")
)

// written is an archive of several volumes that is ready to be committed.
func written(t *testing.T, p archive.Place, id coffer.BackupID, plain []byte) (*archive.Writer, archive.Sealed) {
	t.Helper()
	in := archive.Intent{
		Installation: "0d000000-0000-4000-8000-00000000000d", Backup: id, Project: "demo",
		Instance: "0c000000-0000-4000-8000-00000000000c", Runner: "0e000000-0000-4000-8000-00000000000e/boot",
	}
	w, err := archive.Create(t.Context(), p, in, archive.Options{
		Workers: 2, InFlight: 256 << 10, PartSize: func(int) int64 { return 64 << 10 }, MaxParts: 4,
		Retry: retry.Policy{Min: time.Millisecond, Tries: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	sealed, err := w.Finish(t.Context(), archive.Manifest{
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Tool: "mariadb-backup 10.11.19", Method: "mariabackup",
		Position: coffer.Position{Lineage: coffer.Lineage{Nonce: "n", FirstLSN: 7}, To: 900, Last: 901},
		Sizes:    coffer.Sizes{Data: 5 << 20}, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, sealed
}

// TestArchive is a backup's whole life: several volumes, the commit, the way back,
// and an end that leaves nothing; and an attempt that is given up.
func TestArchive(t *testing.T) {
	t.Parallel()
	s := places(t, "archive", "archive")(t)
	if n, err := s.MaxParts(t.Context()); n != 10_000 || err != nil {
		t.Errorf("an object may have %d parts, %v", n, err)
	}
	p := archive.Place{Store: s, Prefix: coffer.Prefix("demo", "")}
	plain := make([]byte, 700_000)
	rand.NewChaCha8([32]byte{1}).Read(plain)
	w, sealed := written(t, p, kept, plain)
	if out, err := w.Commit(t.Context()); out != archive.Done || err != nil {
		t.Fatalf("commit: %v, %v", out, err)
	}
	given, _ := written(t, p, ended, plain[:300_000])
	if err := given.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	a, err := archive.Open(t.Context(), p, kept, archive.Want{ManifestSHA256: sealed.SHA256, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := a.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(stream)
	if err != nil || !bytes.Equal(got, plain) || stream.Close() != nil || a.Close() != nil {
		t.Errorf("read %d bytes, equal=%v, %v", len(got), bytes.Equal(got, plain), err)
	}
	if err := archive.Delete(t.Context(), p, kept); err != nil {
		t.Error(err)
	}
	for o, err := range s.List(t.Context(), "") {
		if err != nil || !strings.HasSuffix(o.Name, ".dead.json") && !strings.HasSuffix(o.Name, string(ended)+".intent.json") {
			t.Errorf("left: %s, %v", o.Name, err)
		}
	}
	for u, err := range s.Stale(t.Context(), "") {
		t.Errorf("left: %+v, %v", u, err)
	}
}
