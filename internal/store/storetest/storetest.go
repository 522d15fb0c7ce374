// Package storetest is the law of stores, as tests. [Run] holds a store.Full to
// everything that package store promises; an adapter's own test is "make one,
// run the suite". A decorator that adds a quality passes the same suite.
//
// Three stores help to test what stands on a store: [Memory] is a whole store
// without a disk, [Faulty] spoils chosen calls of another store on their real
// path, and [WriteOnce] refuses overwrites and deletes until a date.
//
// The law leaves open what technologies do differently: whether "a" and "a/b"
// can both be objects, what becomes of an upload whose parts are not all listed
// in Complete, and whether Meta, sums and ETags are kept.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Reopener is an optional power of a store under test: another value for the
// same place, as a second process would have it. Without it the suite uses the
// same value twice.
type Reopener interface {
	Reopen(t *testing.T) store.Full
}

// Leaster is an optional power of a store under test: how many bytes every part but
// the last has to have.
type Leaster interface {
	LeastPart() int
}

// law is one run of the suite.
type law struct {
	make      func(t *testing.T) store.Full
	writeOnce bool
}

// Run holds the stores that make makes to the law. Each subtest makes one, empty
// and its own, and leaves objects in it.
func Run(t *testing.T, make func(t *testing.T) store.Full) {
	t.Helper()
	law{make: make}.run(t)
}

// RunWriteOnce is Run for stores whose objects cannot be deleted yet: a delete
// answers KindKept with the date, and all else is as everywhere.
func RunWriteOnce(t *testing.T, make func(t *testing.T) store.Full) {
	t.Helper()
	law{make: make, writeOnce: true}.run(t)
}

func (l law) run(t *testing.T) {
	for name, f := range map[string]func(*testing.T, store.Full){
		"names/bad":            badNames,
		"names/good":           goodNames,
		"put/round-trip":       putRoundTrip,
		"put/empty":            putEmpty,
		"put/exists":           putExists,
		"put/one-of-many":      putOneOfMany,
		"put/all-or-nothing":   putAllOrNothing,
		"open/ranges":          openRanges,
		"open/concurrent":      openConcurrent,
		"absent":               absent,
		"list/order":           listOrder,
		"list/prefix":          listPrefix,
		"list/stop":            listStop,
		"list/many":            listMany,
		"delete":               l.remove,
		"canceled":             canceled,
		"upload/out-of-order":  uploadOutOfOrder,
		"upload/parallel":      uploadParallel,
		"upload/resent":        uploadResent,
		"upload/empty":         uploadEmpty,
		"upload/bad-parts":     uploadBadParts,
		"upload/exists":        uploadExists,
		"upload/twice":         uploadTwice,
		"upload/race":          uploadRace,
		"upload/abort":         uploadAbort,
		"upload/abort-after":   uploadAbortAfter,
		"upload/unknown":       uploadUnknown,
		"upload/invisible":     uploadInvisible,
		"upload/stale":         uploadStale,
		"upload/travels":       uploadTravels,
		"upload/wrong-name":    uploadWrongName,
		"upload/late-part":     uploadLatePart,
		"upload/canceled":      uploadCanceled,
		"upload/keeps-another": l.uploadKeepsAnother,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, l.make(t))
		})
	}
}

// content is n bytes that differ by seed and do not repeat.
func content(seed, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1}).Read(b)
	return b
}

// body is content cut into uneven chunks.
func body(seed, n int) store.Body {
	b := content(seed, n)
	var chunks [][]byte
	for size := 1; len(b) > 0; size = size*3 + 7 {
		k := min(size, len(b))
		chunks = append(chunks, b[:k])
		b = b[k:]
	}
	return store.Chunks(chunks)
}

func put(t *testing.T, s store.Full, name string, b store.Body) store.Object {
	t.Helper()
	o, err := s.Put(t.Context(), name, b, nil)
	if err != nil {
		t.Fatalf("Put %q: %v", name, err)
	}
	if o.Name != name || o.Size != b.Size() {
		t.Errorf("Put %q of %d bytes answers %+v", name, b.Size(), o)
	}
	if o.SHA256 != "" && o.SHA256 != b.SHA256() {
		t.Errorf("Put %q answers the sum %s, want %s or none", name, o.SHA256, b.SHA256())
	}
	return o
}

// read is the range's bytes and the error that ended it, nil for its proper end.
func read(ctx context.Context, s store.Store, name string, off, n int64) ([]byte, error) {
	r, err := s.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func wantContent(t *testing.T, s store.Store, name string, want []byte) {
	t.Helper()
	got, err := read(t.Context(), s, name, 0, -1)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q holds %d bytes, equal=%v, %v; want %d", name, len(got), bytes.Equal(got, want), err, len(want))
	}
	o, err := s.Stat(t.Context(), name)
	if err != nil || o.Name != name || o.Size != int64(len(want)) {
		t.Errorf("Stat %q: %+v, %v; want size %d", name, o, err, len(want))
	}
	if sum := store.Bytes(want).SHA256(); o.SHA256 != "" && o.SHA256 != sum {
		t.Errorf("Stat %q says the sum %s, want %s or none", name, o.SHA256, sum)
	}
}

func wantAbsent(t *testing.T, s store.Store, name string) {
	t.Helper()
	_, err := s.Stat(t.Context(), name)
	wantKind(t, "Stat of the absent "+name, err, coffer.KindNotFound)
	_, err = read(t.Context(), s, name, 0, -1)
	wantKind(t, "Open of the absent "+name, err, coffer.KindNotFound)
	for _, o := range list(t, s, "") {
		if o.Name == name {
			t.Errorf("List shows the absent %q", name)
		}
	}
}

// wantKind is red unless err is a *coffer.Error of one of kinds.
func wantKind(t *testing.T, what string, err error, kinds ...coffer.Kind) {
	t.Helper()
	var e *coffer.Error
	if !errors.As(err, &e) || !coffer.IsKind(err, kinds...) {
		t.Errorf("%s: got %v (%s), want a *coffer.Error of kind %v", what, err, coffer.KindOf(err), kinds)
	}
}

func list(t *testing.T, s store.Store, prefix string) []store.Object {
	t.Helper()
	var out []store.Object
	for o, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List %q: %v", prefix, err)
		}
		out = append(out, o)
	}
	return out
}

func names(objects []store.Object) []string {
	out := []string{}
	for _, o := range objects {
		out = append(out, o.Name)
	}
	return out
}

// recent reports whether a store's time can be of this test.
func recent(at time.Time) bool {
	d := time.Since(at)
	return -time.Hour < d && d < time.Hour
}
