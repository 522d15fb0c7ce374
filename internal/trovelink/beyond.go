package trovelink

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// form is how an object is made that has more segments than one static manifest
// takes. Which one a store reads back, only a try can tell: radosgw 16 takes a
// manifest of manifests and then answers with what is no HTTP.
type form int

const (
	oneManifest form = iota // nobody has tried yet
	nested                  // a static manifest of static manifests
	byPrefix                // a dynamic manifest; Trove deletes it, and leaves its segments
)

// What a manifest holds where the store does not say, as Swift comes, and what a
// dynamic one may have for its ETag to be known: a page of Swift's listing.
const (
	usualSegments = 1000
	mostByPrefix  = 9999
)

// segments is how many an object of this form has at most, of manifests that take
// most each.
func (f form) segments(most int) int {
	switch f {
	case nested:
		return most * most
	case byPrefix:
		return max(most, mostByPrefix)
	}
	return most
}

// segments is how many the store takes in one static manifest.
func (c container) segments(ctx context.Context) int {
	root, _, _ := strings.Cut(c.account, "/v1")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, root+"/info", nil)
	if err != nil {
		return usualSegments
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return usualSegments // whoever is away says so at the first segment
	}
	defer resp.Body.Close()
	var info struct {
		SLO struct {
			Most int `json:"max_manifest_segments"`
		} `json:"slo"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&info) != nil || info.SLO.Most <= 0 {
		return usualSegments
	}
	return info.SLO.Most
}

// prepare refuses a database that the store's objects cannot hold, before its first
// byte is read.
func (u *upload) prepare(ctx context.Context, dataBytes int64) error {
	if dataBytes <= u.holds(u.most)/10*9 {
		return nil
	}
	if err := u.widen(ctx); err != nil {
		return err
	}
	if holds := u.holds(u.form.segments(u.most)); dataBytes > holds {
		return coffer.E(coffer.KindNoSpace, "", "the store reads objects of at most %d GiB, the database has %d", holds>>30, dataBytes>>30).
			WithHint("use Coffer's own control plane for larger databases")
	}
	return nil
}

// holds is what n segments hold.
func (u *upload) holds(n int) (bytes int64) {
	const even = 256 // from here on segments are of one size
	for i := range min(n, even) {
		bytes += int64(u.size(i))
	}
	return bytes + int64(max(0, n-even))*int64(u.size(even))
}

// widen finds the form for more segments than one manifest takes.
func (u *upload) widen(ctx context.Context) (err error) {
	u.form, err = u.in.beyond(ctx, u.backup)
	return err
}

// manifests is how many manifests of our own the object's manifest names.
func (u *upload) manifests() int {
	if u.form != nested || len(u.lines) <= u.most {
		return 0
	}
	return (len(u.lines) + u.most - 1) / u.most
}

// nest writes a manifest for each of most lines, and gives what names them.
func (c container) nest(ctx context.Context, lines []line, most int, name func(i int) string) (outer []line, err error) {
	for part := range slices.Chunk(lines, most) {
		object := name(len(outer))
		if err := c.publish(ctx, object, part, nil); err != nil {
			return nil, err
		}
		of := line{Path: "/" + c.name + "/" + object, ETag: sumOf(part)}
		for _, l := range part {
			of.Size += l.Size
		}
		outer = append(outer, of)
	}
	return outer, nil
}

// sumOf is the ETag of a large object: the MD5 of its segments' ETags.
func sumOf(lines []line) string {
	h := md5.New()
	for _, l := range lines {
		_, _ = io.WriteString(h, l.ETag)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// tryTimeout bounds one look at what a try has made: a store may hang on it.
const tryTimeout = 30 * time.Second

// beyond tries which form the store reads back, with the ETag that Trove compares.
func (c container) beyond(ctx context.Context, backup string) (form, error) {
	const op = "try what the store does beyond one manifest"
	segment := func(i int) string { return fmt.Sprintf("%s.try_%08d", backup, i) }
	manifest := func(i int) string { return fmt.Sprintf("%s.trial_%08d", backup, i) }
	defer c.clear(ctx, manifest(3), manifest(2), manifest(1), manifest(0), segment(1), segment(0))
	var lines []line
	for i, text := range []string{"a", "b"} {
		sum, err := c.put(ctx, segment(i), []byte(text), nil)
		if err != nil {
			return oneManifest, err
		}
		lines = append(lines, line{Path: "/" + c.name + "/" + segment(i), ETag: sum, Size: 1})
	}
	outer, first := c.nest(ctx, lines, 1, manifest)
	if first == nil {
		first = c.publish(ctx, manifest(2), outer, nil)
	}
	if first == nil {
		first = c.readsBack(ctx, manifest(2), sumOf(outer))
	}
	if first == nil {
		return nested, nil
	}
	second := c.publishPrefix(ctx, manifest(3), backup+".try_", nil)
	if second == nil {
		second = c.readsBack(ctx, manifest(3), sumOf(lines))
	}
	if second == nil {
		return byPrefix, nil
	}
	kind := coffer.KindOf(second)
	if coffer.IsKind(second, coffer.KindInvalid, coffer.KindNotFound, coffer.KindCorrupt) { // it has answered
		kind = coffer.KindUnsupported
	}
	return oneManifest, coffer.E(kind, op, "a manifest of manifests: %w; a prefix: %w", first, second).
		WithHint("this store reads no object of more than one manifest: use Coffer's own control plane for larger databases")
}

// clear removes what a try has made: a few bytes, which say what they are if they stay.
func (c container) clear(ctx context.Context, objects ...string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), tryTimeout)
	defer stop()
	for _, o := range objects {
		_ = c.remove(ctx, o)
	}
}

// readsBack says whether a try's object is what was written.
func (c container) readsBack(ctx context.Context, object, checksum string) error {
	ctx, stop := context.WithTimeout(ctx, tryTimeout)
	defer stop()
	if err := c.settles(ctx, object, checksum, 5*time.Second); err != nil {
		return err
	}
	const op = "read a large object of a try"
	_, text, err := c.once(ctx, op, http.MethodGet, object, "", nil, nil)
	if err == nil && text != "ab" {
		err = coffer.E(coffer.KindUnsupported, op, "it reads %.60q", text)
	}
	return err
}

// settles waits until the object has that ETag: one of a prefix comes from a listing,
// which may be behind.
func (c container) settles(ctx context.Context, object, checksum string, patience time.Duration) error {
	etag, seen := "", false
	err := retry.Policy{Max: time.Second, For: patience}.Do(ctx, "look at the large object", func(ctx context.Context) (err error) {
		if etag, _, err = c.head(ctx, object); err == nil && etag != checksum {
			seen = true
			err = coffer.E(coffer.KindUnavailable, "", "its ETag is behind")
		}
		return err
	})
	if seen && etag != checksum {
		return coffer.E(coffer.KindCorrupt, "look at the large object", "the store's ETag is %.60q, its sum is %s", etag, checksum)
	}
	return err
}
