// Package archivetest holds a store behind HTTP to what an archive must survive on
// it: [Matrix] spoils, one after another, each kind of request in each way that a
// network and a server can; [Outage] takes the server away in mid-backup. Whatever
// happens, the archive is committed and reads back byte for byte, or it ends with an
// error that says what to do and a sweep leaves nothing of it; and what else lies in
// the store stays.
//
// An adapter's own test says how the store is reached, and by which requests it does
// its work.
package archivetest

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

// Call is a kind of request to a store's server.
type Call string

// The calls that a backup stands on.
const (
	Part     Call = "part"     // the bytes of one part
	Complete Call = "complete" // what makes parts an object
	Commit   Call = "commit"   // the manifest of the archive, a small object
	Read     Call = "read"     // a range of the data
	Listing  Call = "listing"  // names
)

// Site is a store of an adapter under test.
type Site struct {
	Server string // its address, which a proxy stands in for
	Prefix string // of the archives
	Renews bool   // a login that was refused is made again
	Part   int    // bytes of a part; 0 is 32 KiB

	// Open is the store, reached through another address than Server.
	Open func(t *testing.T, address string, patience time.Duration) store.Full
	// Is reports whether a request is of that kind.
	Is func(c Call, r *http.Request) bool
	// Keys are all names that begin so in the place, whatever they are, as the server
	// itself lists them.
	Keys func(t *testing.T, prefix string) []string
}

// part is the size of parts, and plain a stream of that many and a quarter.
func (s Site) part() int64 { return int64(cmp.Or(s.Part, 32<<10)) }

func (s Site) plain(seed int) []byte { return Content(seed, int(s.part()*25/4)) }

// place is where the archives of a test lie.
func (s Site) place(st store.Full, p retry.Policy) archive.Place {
	return archive.Place{Store: store.Retry(st, p), Prefix: s.Prefix}
}

// sound is the place with nothing between.
func (s Site) sound(t *testing.T) archive.Place {
	t.Helper()
	return s.place(s.Open(t, s.Server, time.Minute), steady)
}

// steady outlasts what a loaded machine does.
var steady = retry.Policy{Min: 5 * time.Millisecond, Max: 200 * time.Millisecond, For: 30 * time.Second}

// hasty gives up soon.
var hasty = retry.Policy{Min: 5 * time.Millisecond, Max: 20 * time.Millisecond, Tries: 2}

const installation = coffer.InstallationID("0d000000-0000-4000-8000-00000000000d")

// newID is a backup's.
func newID() coffer.BackupID { return coffer.BackupID(coffer.NewUUID()) }

// Content is n bytes that do not compress, the same for the same seed.
func Content(seed, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// options cut little data into many parts.
func options(part int64, p retry.Policy) archive.Options {
	return archive.Options{Workers: 2, InFlight: 4 * part, PartSize: func(int) int64 { return part }, Retry: p}
}

// Create begins the archive id in p.
func Create(ctx context.Context, p archive.Place, id coffer.BackupID, o archive.Options) (*archive.Writer, error) {
	return archive.Create(ctx, p, archive.Intent{
		Installation: installation, Backup: id, Project: "demo",
		Instance: "0c000000-0000-4000-8000-00000000000c", Runner: "0e000000-0000-4000-8000-00000000000e/boot",
	}, o)
}

// Manifest is what an engine would say.
func Manifest() archive.Manifest {
	return archive.Manifest{
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Tool: "mariadb-backup 10.11.19", Method: "mariabackup",
		Position: coffer.Position{Lineage: coffer.Lineage{Nonce: "n", FirstLSN: 7}, To: 900, Last: 901},
		Sizes:    coffer.Sizes{Data: 5 << 20}, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// attempt is what an agent does: write, finish, commit; abort where that is allowed.
func attempt(ctx context.Context, p archive.Place, id coffer.BackupID, plain []byte, o archive.Options) (archive.Outcome, error) {
	w, err := Create(ctx, p, id, o)
	if err != nil {
		return archive.NotDone, err
	}
	out := archive.NotDone
	if _, err = w.Write(plain); err == nil {
		_, err = w.Finish(ctx, Manifest())
	}
	if err == nil {
		out, err = w.Commit(ctx)
	}
	if out != archive.Done {
		_ = w.Abort(context.WithoutCancel(ctx)) // what it leaves is the sweep's
	}
	return out, err
}

// Save makes a whole archive of plain.
func Save(t *testing.T, p archive.Place, id coffer.BackupID, plain []byte, o archive.Options) {
	t.Helper()
	if out, err := attempt(t.Context(), p, id, plain, o); out != archive.Done || err != nil {
		t.Fatalf("%s: %s, %v", id, out, err)
	}
}

// read is the archive's plain stream.
func read(ctx context.Context, p archive.Place, id coffer.BackupID, pol retry.Policy) ([]byte, error) {
	a, err := archive.Open(ctx, p, id, archive.Want{Workers: 2, Retry: pol})
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

// WantRead is red unless the archive holds plain.
func WantRead(t *testing.T, p archive.Place, id coffer.BackupID, plain []byte) {
	t.Helper()
	got, err := read(t.Context(), p, id, steady)
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%s: read %d bytes of %d, equal=%v, %v", id, len(got), len(plain), bytes.Equal(got, plain), err)
	}
}

// wantSwept sweeps what a failed attempt left, past every fault, and is red unless
// only the words about it are left.
func (s Site) wantSwept(t *testing.T, id coffer.BackupID) {
	t.Helper()
	p := s.sound(t)
	if err := archive.Tombstone(t.Context(), p, id); err != nil {
		t.Error(err)
	}
	if err := archive.Wipe(t.Context(), p, id); err != nil {
		t.Error(err)
	}
	for _, k := range s.Keys(t, string(id)) {
		if !strings.HasSuffix(k, ".intent.json") && !strings.HasSuffix(k, ".dead.json") {
			t.Errorf("the sweep has left %s", k)
		}
	}
	s.wantNoUploads(t, p, id)
}

// wantDeleted deletes the archive, and is red unless nothing at all is left.
func (s Site) wantDeleted(t *testing.T, id coffer.BackupID) {
	t.Helper()
	p := s.sound(t)
	if err := archive.Delete(t.Context(), p, id); err != nil {
		t.Error(err)
	}
	if left := s.Keys(t, string(id)); len(left) > 0 {
		t.Errorf("the delete has left %v", left)
	}
	s.wantNoUploads(t, p, id)
}

func (s Site) wantNoUploads(t *testing.T, p archive.Place, id coffer.BackupID) {
	t.Helper()
	for u, err := range p.Store.Stale(t.Context(), s.Prefix+string(id)) {
		t.Errorf("left: %+v, %v", u, err)
	}
}

// Kill makes an archive whose writer dies in the middle: its id.
func Kill(t *testing.T, p archive.Place, o archive.Options) coffer.BackupID {
	t.Helper()
	ctx, die := context.WithCancel(t.Context())
	id := newID()
	w, err := Create(ctx, p, id, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := pour(w, Content(2, 3<<20)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); w.Stored() < 3*o.PartSize(0); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited a minute for the first parts")
		}
	}
	die()
	if err := w.Abort(ctx); err == nil { // ends its goroutines, and reaches nothing
		t.Error("a writer that is dead has cleaned up")
	}
	return id
}

// Sweep does to a place what the task manager does: of what an intent of ours vouches
// for, that without a manifest goes. It gives what is told of the rest.
func Sweep(t *testing.T, p archive.Place) (strangers []string) {
	t.Helper()
	ours, strangers, err := archive.Survey(t.Context(), p, installation)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range ours {
		if o.Manifest {
			continue
		}
		if err := archive.Tombstone(t.Context(), p, o.ID); err != nil {
			t.Error(err)
		}
		if err := archive.Wipe(t.Context(), p, o.ID); err != nil {
			t.Error(err)
		}
	}
	return strangers
}
