package swift

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// static is what the server says about static large objects.
type static struct {
	offered bool
	entries int   // of one manifest
	least   int64 // bytes of a segment
}

// holds reports whether a static manifest can hold these segments.
func (st static) holds(segments []segment) bool {
	if !st.offered || len(segments) > st.entries {
		return false
	}
	for _, seg := range segments {
		if seg.size < st.least {
			return false
		}
	}
	return true
}

// capabilities asks the server once. One that does not say is taken to have no
// static large objects: every server has dynamic ones.
func (s *Store) capabilities(ctx context.Context) (static, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.static == nil {
		st, err := s.ask(ctx)
		if err != nil {
			return static{}, err
		}
		s.static = &st
	}
	return *s.static, nil
}

// relearn notes that the server has no static large objects after all.
func (s *Store) relearn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.static = &static{}
}

func (s *Store) ask(ctx context.Context) (static, error) {
	const op = "ask what the store can do"
	if s.opts.Dynamic {
		return static{}, nil
	}
	now, err := s.login.session(ctx, "")
	if err != nil {
		return static{}, err
	}
	root, _, ok := strings.Cut(now.url, "/v1")
	if !ok {
		return static{}, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, root+"/info", nil)
	if err != nil {
		return static{}, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return static{}, remote.Lost(op, err, false)
	}
	defer done(resp)
	if resp.StatusCode >= 500 {
		return static{}, refusal(op, resp, false)
	}
	var info struct {
		SLO *struct {
			Entries int   `json:"max_manifest_segments"`
			Least   int64 `json:"min_segment_size"`
		} `json:"slo"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&info) != nil || info.SLO == nil {
		return static{}, nil
	}
	st := static{offered: true, entries: info.SLO.Entries, least: info.SLO.Least}
	if st.entries <= 0 {
		st.entries = 1000
	}
	return st, nil
}

// MaxParts is how many parts an object may have to be a static one, which reads
// the same whatever the listings say; 0 is no limit, where only dynamic ones are
// written.
func (s *Store) MaxParts(ctx context.Context) (int, error) {
	can, err := s.capabilities(ctx)
	if err != nil || !can.offered {
		return 0, err
	}
	return can.entries, nil
}
