package swift

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// place is where an object is; without a key it is the container, and without that
// the account.
type place struct{ container, key string }

// path is the place below the account, escaped.
func (p place) path() string {
	switch {
	case p.container == "":
		return ""
	case p.key == "":
		return "/" + escape(p.container)
	}
	return "/" + escape(p.container) + "/" + escape(p.key)
}

// escape leaves the slashes and what every server takes as it is.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// call is one request to the account.
type call struct {
	method string
	at     place
	query  url.Values
	header http.Header
	body   store.Body
	effect bool // changes something that must not be done twice
}

// do makes the request, a second time with a new token when the first is refused.
// The answer's body is the caller's to close. Statuses from 300 on are errors.
func (s *Store) do(ctx context.Context, op string, c call) (*http.Response, error) {
	refused := ""
	for {
		now, err := s.login.session(ctx, refused)
		if err != nil {
			return nil, coffer.Wrap(op, err)
		}
		resp, err := s.send(ctx, c, now)
		if err != nil {
			return nil, remote.Lost(op, err, c.effect)
		}
		if resp.StatusCode < 300 {
			return resp, nil
		}
		if resp.StatusCode == http.StatusUnauthorized && refused == "" {
			done(resp)
			refused = now.token
			continue
		}
		err = refusal(op, resp, c.effect)
		done(resp)
		return nil, err
	}
}

func (s *Store) send(ctx context.Context, c call, now session) (*http.Response, error) {
	target := cmp.Or(s.account, now.url) + c.at.path()
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	var body io.Reader
	if c.body.Size() > 0 {
		body = c.body.Reader()
	}
	req, err := http.NewRequestWithContext(ctx, c.method, target, body)
	if err != nil {
		return nil, err
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	req.ContentLength = c.body.Size()
	req.Header.Set("X-Auth-Token", now.token)
	// Swift answers a HEAD of a container with a chunk that is no part of the
	// answer: what comes next on that connection cannot be read.
	req.Close = c.method == http.MethodHead && c.at.key == ""
	return s.http.Do(req)
}

// done gives the connection back.
func done(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
}

// simple makes a request whose answer's body does not matter.
func (s *Store) simple(ctx context.Context, op string, c call) (http.Header, error) {
	resp, err := s.do(ctx, op, c)
	if err != nil {
		return nil, err
	}
	done(resp)
	return resp.Header, nil
}
