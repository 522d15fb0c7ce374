package trovelink

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// container is one container of a project's account, reached with the caller's token.
// It asks for as little as Trove's own agents do, so that it works wherever they do.
type container struct {
	http    *http.Client
	account string // its URL
	name    string
	token   string
	patient retry.Policy
}

// storePatience is how long a request is tried again while the store is away.
func storePatience() retry.Policy {
	return retry.Policy{Min: 200 * time.Millisecond, Max: 10 * time.Second, For: 5 * time.Minute}
}

// do makes one request, again while the store cannot answer. The body can be sent
// again. A 404 is KindNotFound.
func (c container) do(ctx context.Context, method, object, query string, body []byte, h http.Header) (http.Header, error) {
	op := strings.ToLower(method) + " " + strings.TrimSuffix(c.name+"/"+object, "/")
	var answer http.Header
	err := c.patient.Do(ctx, op, func(ctx context.Context) (err error) {
		answer, _, err = c.once(ctx, op, method, object, query, body, h)
		return err
	})
	return answer, err
}

// once makes one request, once. Of the answer's body it gives no more than an error
// says.
func (c container) once(ctx context.Context, op, method, object, query string, body []byte, h http.Header) (http.Header, string, error) {
	at := strings.TrimSuffix(c.account, "/") + "/" + url.PathEscape(c.name)
	if object != "" {
		at += "/" + url.PathEscape(object)
	}
	req, err := http.NewRequestWithContext(ctx, method, at+query, bytes.NewReader(body))
	if err != nil {
		return nil, "", coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	req.Header.Set("X-Auth-Token", c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, "", coffer.Wrap(op, ctx.Err())
		}
		return nil, "", coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // for an error, or a few bytes of ours
	text := strings.TrimSpace(string(raw))
	return resp.Header, text, refusal(op, resp.StatusCode, text)
}

// refusal is what an answer's status means.
func refusal(op string, status int, text string) error {
	e := func(k coffer.Kind) *coffer.Error { return coffer.E(k, op, "the store answers %d %s", status, text) }
	switch {
	case status < 300:
		return nil
	case status == http.StatusUnauthorized:
		return e(coffer.KindUnauthorized).WithHint("the caller's token has ended: a backup that lasts longer than tokens needs longer ones")
	case status == http.StatusForbidden:
		return e(coffer.KindForbidden)
	case status == http.StatusNotFound:
		return e(coffer.KindNotFound)
	case status == http.StatusRequestEntityTooLarge, status == http.StatusInsufficientStorage:
		return e(coffer.KindNoSpace)
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status == http.StatusUnprocessableEntity:
		return e(coffer.KindUnavailable) // 422: the bytes were damaged on their way
	}
	return e(coffer.KindInvalid)
}

// make makes the container; one that is there stays as it is.
func (c container) make(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPut, "", "", nil, nil)
	return err
}

// put stores one whole object, and gives its MD5.
func (c container) put(ctx context.Context, object string, body []byte, meta map[string]string) (string, error) {
	sum := md5.Sum(body)
	text := hex.EncodeToString(sum[:])
	h := header(meta)
	h.Set("Etag", text) // the store refuses other bytes
	_, err := c.do(ctx, http.MethodPut, object, "", body, h)
	return text, err
}

// line is one segment in a static manifest. With a slash before the container old
// radosgws find the segments when they delete; Swift takes both.
type line struct {
	Path string `json:"path"`
	ETag string `json:"etag"`
	Size int64  `json:"size_bytes"`
}

// publish writes the static manifest of a large object.
func (c container) publish(ctx context.Context, object string, lines []line, meta map[string]string) error {
	text, err := json.Marshal(lines)
	if err != nil {
		return coffer.E(coffer.KindInternal, "write the manifest", "%w", err)
	}
	_, err = c.do(ctx, http.MethodPut, object, "?multipart-manifest=put", text, header(meta))
	return err
}

// publishPrefix writes the dynamic manifest of a large object: its segments are what
// begins so.
func (c container) publishPrefix(ctx context.Context, object, prefix string, meta map[string]string) error {
	h := header(meta)
	h.Set("X-Object-Manifest", url.PathEscape(c.name)+"/"+url.PathEscape(prefix))
	_, err := c.do(ctx, http.MethodPut, object, "", nil, h)
	return err
}

// head is an object's ETag and Trove's metadata of it.
func (c container) head(ctx context.Context, object string) (etag string, meta map[string]string, err error) {
	h, err := c.do(ctx, http.MethodHead, object, "", nil, nil)
	if err != nil {
		return "", nil, err
	}
	meta = map[string]string{}
	for k, v := range h {
		if k, ok := strings.CutPrefix(k, metaPrefix); ok {
			meta[strings.ReplaceAll(strings.ToLower(k), "-", "_")] = v[0]
		}
	}
	return strings.Trim(h.Get("Etag"), `"`), meta, nil
}

// remove deletes one object as it is; an absent one is no error.
func (c container) remove(ctx context.Context, object string) error {
	_, err := c.do(ctx, http.MethodDelete, object, "", nil, nil)
	if coffer.IsKind(err, coffer.KindNotFound) {
		return nil
	}
	return err
}

const metaPrefix = "X-Object-Meta-"

func header(meta map[string]string) http.Header {
	h := http.Header{"Content-Type": {"application/octet-stream"}}
	for k, v := range meta {
		h.Set(metaPrefix+strings.ReplaceAll(k, "_", "-"), v)
	}
	return h
}

func segmentName(backup string, i int) string { return fmt.Sprintf("%s_%08d", backup, i) }
