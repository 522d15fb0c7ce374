// Package client speaks to a Coffer server: Trove's API v1.0 and Coffer's own
// resources beside it. Every method takes a context and answers in the types of
// packages trove and rest; every error is a *coffer.Error with the server's kind
// and hint, so that a caller can act on the class and print what to do next.
//
// A request that never reached the server is KindUnavailable. A create carries an
// Idempotency-Key, so it may be sent again after any error without making two.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// Config is how to reach a server.
type Config struct {
	URL     string // "http://127.0.0.1:8779"
	Token   string
	Project coffer.ProjectID
	HTTP    *http.Client // nil makes one
}

// Client speaks for one caller in one project. It may be used by many goroutines.
type Client struct {
	url     string
	token   string
	project coffer.ProjectID
	http    *http.Client
}

// New makes a Client; it sends nothing yet.
func New(c Config) (*Client, error) {
	const op = "reach the server"
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, coffer.E(coffer.KindInvalid, op, "%q is no address of a server", c.URL).WithHint("it looks like http://127.0.0.1:8779")
	}
	if !c.Project.Valid() {
		return nil, coffer.E(coffer.KindInvalid, op, "%q is no project", c.Project)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{}
	}
	return &Client{url: strings.TrimSuffix(c.URL, "/"), token: c.Token, project: c.Project, http: c.HTTP}, nil
}

// call is one request.
type call struct {
	method, path string // path below the prefix and the project
	own          bool   // Coffer's own interface, else Trove's
	query        url.Values
	body         any
	key          string // Idempotency-Key
}

func (c *Client) address(k call) string {
	prefix := "/v1.0/"
	if k.own {
		prefix = "/coffer/v1/"
	}
	out := c.url + prefix + string(c.project) + k.path
	if len(k.query) > 0 {
		out += "?" + k.query.Encode()
	}
	return out
}

// do sends a request and decodes the answer into out (a pointer, or nil).
func (c *Client) do(ctx context.Context, op string, k call, out any) error {
	var body io.Reader
	if k.body != nil {
		b, err := json.Marshal(k.body)
		if err != nil {
			return coffer.E(coffer.KindInvalid, op, "%w", err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, k.method, c.address(k), body)
	if err != nil {
		return coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("X-Auth-Token", c.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if k.key != "" {
		r.Header.Set("Idempotency-Key", k.key)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return c.unreachable(ctx, op, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.unreachable(ctx, op, err)
	}
	if res.StatusCode >= 400 {
		return fault(op, res, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return coffer.E(coffer.KindInternal, op, "the server's answer cannot be read: %w", err).
			WithHint("is %s a Coffer server?", c.url)
	}
	return nil
}

func (c *Client) unreachable(ctx context.Context, op string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return coffer.E(coffer.KindCanceled, op, "%w", ctx.Err())
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address, which may be long
	}
	return coffer.E(coffer.KindUnavailable, op, "%w", err).WithHint("is the server running at %s?", c.url)
}

// id makes an id one component of a path.
func id[S ~string](s S) string { return "/" + url.PathEscape(string(s)) }

// pause waits, or ends with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return coffer.Wrap("wait", ctx.Err())
	case <-t.C:
		return nil
	}
}
