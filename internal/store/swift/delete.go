package swift

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
)

// Delete removes one object with its segments. The name goes first, at once; the
// marker of an upload stands until the segments are gone, so that what a crash
// leaves is found by Stale.
func (s *Store) Delete(ctx context.Context, name string) error {
	op := "delete " + name
	at, err := s.begin(ctx, op, name)
	if err != nil {
		return err
	}
	f, err := s.head(ctx, op, at)
	if coffer.IsKind(err, coffer.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case f.upload != "" && (f.static || f.prefix != ""): // else it is without bytes, and so without segments
		if err := s.mark(ctx, op, at, f.upload, http.Header{}, false); err != nil {
			return err
		}
		if err := s.remove(ctx, op, at, nil); err != nil {
			return err
		}
		return s.purge(ctx, op, at, f.upload)
	case f.static:
		return s.deleteStatic(ctx, op, at)
	case f.prefix != "":
		return s.deleteDynamic(ctx, op, at, f.prefix)
	}
	return s.remove(ctx, op, at, nil)
}

// deleteStatic has the server delete a static large object that somebody else has
// written, with its segments.
func (s *Store) deleteStatic(ctx context.Context, op string, at place) error {
	resp, err := s.do(ctx, op, call{
		method: http.MethodDelete, at: at, query: manifestQuery("delete"), header: http.Header{"Accept": {"application/json"}},
	})
	if coffer.IsKind(err, coffer.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer done(resp)
	var said struct { // with status 200 in any case
		Status string     `json:"Response Status"`
		Errors [][]string `json:"Errors"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		return coffer.E(coffer.KindUnavailable, op, "the answer broke off: %w", err)
	}
	if len(said.Errors) > 0 || !strings.HasPrefix(said.Status, "200") {
		return coffer.E(coffer.KindUnavailable, op, "the store answers %s, with %d segments not deleted", said.Status, len(said.Errors))
	}
	return nil
}

// deleteDynamic deletes a dynamic large object that somebody else has written,
// and the segments below its prefix.
func (s *Store) deleteDynamic(ctx context.Context, op string, at place, where string) error {
	where, err := url.PathUnescape(where)
	if err != nil {
		return coffer.E(coffer.KindInvalid, op, "the manifest's prefix cannot be read: %w", err)
	}
	container, prefix, ok := strings.Cut(strings.TrimPrefix(where, "/"), "/")
	if !ok || prefix == "" {
		return coffer.E(coffer.KindInvalid, op, "the manifest's prefix %q would take a whole container", where)
	}
	if err := s.remove(ctx, op, at, nil); err != nil {
		return err
	}
	_, err = s.removeAll(ctx, op, container, prefix, func(e entry) bool { return e.Key != at.key })
	return err
}

// purgeRounds is how often segments are looked for: a listing may lag, and a part
// may be on its way.
const purgeRounds = 3

// purge deletes the segments of an upload, then its marker, until nothing is
// left. Segments of others, even under the same name, stay.
func (s *Store) purge(ctx context.Context, op string, at place, t token) error {
	kind, next := t.typeOf(segmentType, at.key), 0
	mine := func(e entry) bool {
		if e.Type != kind {
			return false
		}
		next = max(next, t.index(at.key, e.Key)+1)
		return true
	}
	for round := range purgeRounds {
		n, err := s.removeAll(ctx, op, at.container, t.segmentPrefix(at.key), mine)
		if err != nil {
			return err
		}
		more, err := s.removeFrom(ctx, op, at, t, next)
		if err != nil {
			return err
		}
		if n+more == 0 && round > 0 {
			return nil
		}
		if err := s.unmark(ctx, op, at, t); err != nil {
			return err
		}
	}
	return nil
}

// removeFrom deletes the segments of an upload from number i on, up to the first
// that is not there, and counts them: those that a listing does not show yet.
func (s *Store) removeFrom(ctx context.Context, op string, at place, t token, i int) (n int, err error) {
	kind := t.typeOf(segmentType, at.key)
	for ; i <= maxIndex; i++ {
		seg := place{at.container, t.segment(at.key, i)}
		f, err := s.head(ctx, op, seg)
		if coffer.IsKind(err, coffer.KindNotFound) || err == nil && f.kind != kind {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := s.remove(ctx, op, seg, nil); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// deleters is how many objects are deleted at a time.
const deleters = 8

// removeAll deletes what begins with prefix and is chosen, and counts it.
func (s *Store) removeAll(ctx context.Context, op, container, prefix string, chosen func(entry) bool) (n int, err error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(deleters)
	for e, err := range s.entries(ctx, op, container, prefix) {
		if err != nil {
			return n, join(g, err)
		}
		if !chosen(e) {
			continue
		}
		n++
		g.Go(func() error { return s.remove(gctx, op, place{container, e.Key}, nil) })
	}
	return n, g.Wait()
}

func join(g *errgroup.Group, err error) error {
	if failed := g.Wait(); failed != nil {
		return failed
	}
	return err
}
