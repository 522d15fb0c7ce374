package storetest

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

func uploadTwice(t *testing.T, s store.Full) {
	u := begin(t, s, "p/twice")
	parts := sendAll(t, s, u, 60)
	complete(t, s, u, parts)
	if _, err := s.Complete(t.Context(), u, parts); err != nil {
		wantKind(t, "Complete again", err, coffer.KindExists, coffer.KindUnknown)
	}
	wantContent(t, s, "p/twice", whole(s, 60))
}

// uploadRace: of two uploads of one name, one wins whole.
func uploadRace(t *testing.T, s store.Full) {
	us := []store.Upload{begin(t, s, "p/race"), begin(t, s, "p/race")}
	if us[0].Token == us[1].Token {
		t.Fatal("two uploads have one token")
	}
	parts := [][]store.Part{sendAll(t, s, us[0], 70), sendAll(t, s, us[1], 80)}
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { _, errs[i] = s.Complete(t.Context(), us[i], parts[i]) })
	}
	wg.Wait()
	won := slices.Index(errs, nil)
	if won < 0 {
		t.Fatalf("nobody won: %v", errs)
	}
	wantKind(t, "the loser", errs[1-won], coffer.KindExists)
	wantContent(t, s, "p/race", whole(s, 70+won*10))
}

func uploadAbort(t *testing.T, s store.Full) {
	u := begin(t, s, "p/gone")
	parts := sendAll(t, s, u, 90)
	for range 2 {
		if err := s.Abort(t.Context(), u); err != nil {
			t.Errorf("Abort: %v", err)
		}
	}
	_, err := send(t.Context(), s, u, 90, 0)
	wantKind(t, "Part after Abort", err, coffer.KindNotFound)
	_, err = s.Complete(t.Context(), u, parts)
	wantKind(t, "Complete after Abort", err, coffer.KindNotFound)
	wantAbsent(t, s, "p/gone")
	if got := stale(t, s, ""); len(got) > 0 {
		t.Errorf("an aborted upload is stale: %v", got)
	}
	put(t, s, "p/gone", body(1, 10))
}

func uploadAbortAfter(t *testing.T, s store.Full) {
	u := begin(t, s, "p/done")
	complete(t, s, u, sendAll(t, s, u, 100))
	if err := s.Abort(t.Context(), u); err != nil {
		t.Errorf("Abort after Complete: %v", err)
	}
	wantContent(t, s, "p/done", whole(s, 100))
}

func uploadUnknown(t *testing.T, s store.Full) {
	for _, token := range []string{"", "nope", "../../p/there", strings.Repeat("0", 32)} {
		u := store.Upload{Name: "p/never", Token: token}
		if err := s.Abort(t.Context(), u); err != nil {
			t.Errorf("Abort of the unknown token %q: %v", token, err)
		}
		_, err := s.Part(t.Context(), u, 0, 0, body(1, 10))
		wantKind(t, "Part of an unknown upload", err, coffer.KindNotFound)
		_, err = s.Complete(t.Context(), u, nil)
		wantKind(t, "Complete of an unknown upload", err, coffer.KindNotFound)
	}
	wantAbsent(t, s, "p/never")
}
