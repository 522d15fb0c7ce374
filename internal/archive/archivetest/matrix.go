package archivetest

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/testenv"
)

// always is a fault that does not end by itself.
const always = -1

// row is one fault and how the backup, or the reading, ends that meets it.
type row struct {
	name  string
	calls []Call
	times int
	fault testenv.Fault
	crawl bool          // it is seen by its slowness
	want  []coffer.Kind // nil: well
	renew bool          // well where a login is made again
}

// rows are the faults. What passes is survived, what does not is told.
func rows() []row {
	away := []coffer.Kind{coffer.KindUnavailable, coffer.KindUnknown}
	s := testenv.FaultStatus
	writes, all := []Call{Part, Complete, Commit}, []Call{Part, Complete, Commit, Read}
	return []row{
		{name: "500", calls: all, times: 1, fault: s(500, "")},
		{name: "503", calls: all, times: 2, fault: s(503, "")},
		{name: "503, retry after", calls: writes, times: 1, fault: s(503, "", "Retry-After", "1")},
		{name: "429", calls: all, times: 2, fault: s(429, "")},
		{name: "429, retry after", calls: writes, times: 1, fault: s(429, "", "Retry-After", "1")},
		{name: "500 for good", calls: all, times: always, fault: s(500, ""), want: away},
		{name: "429 for good", calls: writes, times: always, fault: s(429, ""), want: away},
		{name: "reset at once", calls: all, times: 1, fault: testenv.FaultReset(0)},
		{name: "reset in the middle", calls: writes, times: 1, fault: testenv.FaultReset(100)},
		{name: "reset for good", calls: []Call{Part}, times: always, fault: testenv.FaultReset(20_000), want: away},
		{name: "crawls", calls: all, times: 1, fault: testenv.FaultCrawl(), crawl: true},
		{name: "crawls for good", calls: []Call{Part}, times: always, fault: testenv.FaultCrawl(), crawl: true, want: away},
		{name: "answer lost", calls: writes, times: 1, fault: testenv.FaultLost()},
		{name: "answer lost for good", calls: []Call{Part}, times: always, fault: testenv.FaultLost(), want: away},
		{name: "answer cut", calls: []Call{Read}, times: 2, fault: testenv.FaultCut(1000)},
		{name: "bit flipped", calls: []Call{Read}, times: 1, fault: testenv.FaultFlip(1000)},
		{name: "bit flipped for good", calls: []Call{Read}, times: always, fault: testenv.FaultFlip(1000), want: []coffer.Kind{coffer.KindCorrupt}},
		{name: "wrong ETag", calls: all, times: always, fault: testenv.FaultETag()},
		{name: "401", calls: all, times: 1, fault: s(401, ""), want: []coffer.Kind{coffer.KindUnauthorized}, renew: true},
		{name: "401 for good", calls: all, times: always, fault: s(401, ""), want: []coffer.Kind{coffer.KindUnauthorized}},
		{name: "403 for good", calls: all, times: always, fault: s(403, ""), want: []coffer.Kind{coffer.KindForbidden}},
		{name: "409 for good", calls: writes, times: always, fault: s(409, ""), want: []coffer.Kind{coffer.KindConflict}},
		{name: "413 for good", calls: writes, times: always, fault: s(413, ""), want: []coffer.Kind{coffer.KindInvalid}},
		{name: "507 for good", calls: writes, times: always, fault: s(507, ""), want: []coffer.Kind{coffer.KindNoSpace}},
		{name: "listing is behind", calls: []Call{Listing}, times: always, fault: testenv.FaultAnswer(emptied)},
	}
}

// few are the faults that a slow server is tried with in the usual run.
var few = []string{"503", "answer lost", "answer cut", "401", "413 for good", "listing is behind"}

// Few is a part of [Matrix].
func Few(t *testing.T, s Site) {
	s.run(t, slices.DeleteFunc(rows(), func(r row) bool { return !slices.Contains(few, r.name) }))
}

// Matrix runs every fault of the table against the store, each with an archive and a
// proxy of its own. Another archive that lies there from the start is whole at the end.
func Matrix(t *testing.T, s Site) { s.run(t, rows()) }

func (s Site) run(t *testing.T, table []row) {
	p := s.sound(t)
	good, plain := newID(), s.plain(1)
	Save(t, p, good, plain, options(s.part(), steady))
	before := s.Keys(t, string(good))
	t.Run("faults", func(t *testing.T) {
		for i, r := range table {
			for j, c := range r.calls {
				t.Run(string(c)+" "+r.name, func(t *testing.T) {
					t.Parallel()
					s.meet(t, r, c, s.plain(100*i+j))
				})
			}
		}
	})
	if after := s.Keys(t, string(good)); !slices.Equal(before, after) {
		t.Errorf("of the other archive there was %v, now there is %v", before, after)
	}
	WantRead(t, p, good, plain)
	s.wantDeleted(t, good)
}

// meet makes, reads and deletes one archive that meets a fault.
func (s Site) meet(t *testing.T, r row, c Call, plain []byte) {
	id := newID()
	proxy := testenv.NewFaultProxy(t, s.Server)
	patience, policy, want := 20*time.Second, steady, r.want
	if r.crawl {
		patience = time.Second
	}
	if r.renew && s.Renews {
		want = nil
	}
	if want != nil {
		policy = hasty
	}
	first := 1
	if c == Part {
		first = 2 // something is stored already
	}
	p := s.place(s.Open(t, proxy.URL, patience), policy)
	proxy.Spoil(func(req *http.Request) bool { return s.Is(c, req) }, first, r.times, r.fault)
	defer proxy.VerifyAllHit(t)
	if c == Read {
		s.meetReading(t, p, id, plain, want)
		return
	}
	out, err := attempt(t.Context(), p, id, plain, options(s.part(), policy))
	if (out == archive.Done) != (want == nil) || want != nil && !coffer.IsKind(err, want...) {
		t.Errorf("%s, %v (%s); want %v", out, err, coffer.KindOf(err), want)
	}
	sound := s.sound(t)
	found, err := archive.Look(t.Context(), sound, id)
	switch {
	case err != nil:
		t.Error(err)
	case found.Manifest == nil:
		s.wantSwept(t, id)
		return
	}
	WantRead(t, sound, id, plain)
	if c == Listing {
		if err := archive.Delete(t.Context(), p, id); err != nil {
			t.Error(err)
		}
		if left := s.Keys(t, string(id)); len(left) > 0 {
			t.Errorf("a delete that the listings do not help has left %v", left)
		}
	}
	s.wantDeleted(t, id)
}

// meetReading reads an archive through a fault. Whatever comes of it, the archive is
// as good as before.
func (s Site) meetReading(t *testing.T, p archive.Place, id coffer.BackupID, plain []byte, want []coffer.Kind) {
	sound := s.sound(t)
	Save(t, sound, id, plain, options(s.part(), steady))
	policy := steady
	if want != nil {
		policy = hasty
	}
	got, err := read(t.Context(), p, id, policy)
	if want == nil && (err != nil || !bytes.Equal(got, plain)) || want != nil && !coffer.IsKind(err, want...) {
		t.Errorf("read %d bytes of %d, equal=%v, %v (%s); want %v", len(got), len(plain), bytes.Equal(got, plain), err, coffer.KindOf(err), want)
	}
	WantRead(t, sound, id, plain)
	s.wantDeleted(t, id)
}

// emptied makes a listing one that shows nothing yet.
func emptied(r *http.Response) {
	text, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if bytes.HasPrefix(text, []byte("[")) {
		text = []byte("[]")
	}
	text = regexp.MustCompile(`(?s)<(Contents|Upload)>.*</(Contents|Upload)>`).ReplaceAll(text, nil)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	r.Header.Set("Content-Length", strconv.Itoa(len(text)))
}
