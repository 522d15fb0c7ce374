package swift

import (
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
)

// Content types of what is no object by itself. Each is followed by the upload's
// token.
const (
	segmentType = "application/vnd.coffer.segment;upload="
	uploadType  = "application/vnd.coffer.upload;upload="
	largeType   = "application/vnd.coffer.large;upload="
)

// token names an upload: a nonce, and how its segments are named.
type token string

// The ways of naming segments, as the last letter of a token.
const (
	plainly   = "p" // <b>_%08d
	qualified = "q" // <b>_q<nonce>_%08d
)

const nonceLen = 32

func newToken(how string) token { return token(coffer.NewNonce() + how) }

// valid reports whether t has the form of a token, so that none is a path.
func (t token) valid() bool {
	if len(t) != nonceLen+1 {
		return false
	}
	how := t[nonceLen:]
	return strings.Trim(string(t[:nonceLen]), "0123456789abcdef") == "" && (how == plainly || how == qualified)
}

// split cuts a key at the first dot of its last component: segments are named by
// what is before it.
func split(key string) (base, suffix string) {
	start := strings.LastIndexByte(key, '/') + 1
	i := strings.IndexByte(key[start:], '.')
	if i <= 0 {
		return key, ""
	}
	return key[:start+i], key[start+i:]
}

// family begins the keys of a key's segments and uploads, and of nothing else.
func family(key string) string {
	base, _ := split(key)
	return base + "_"
}

// segmentPrefix begins the keys of the segments of the upload t of key. Numbers
// begin with 0, so that a dynamic manifest of one upload never takes another's.
func (t token) segmentPrefix(key string) string {
	if t[nonceLen:] == plainly {
		return family(key) + "0"
	}
	return family(key) + "q" + string(t[:nonceLen]) + "_0"
}

// segment is the key of a segment.
func (t token) segment(key string, i int) string {
	return fmt.Sprintf("%s%07d", t.segmentPrefix(key), i)
}

// base is what a segment's key begins with: the object's name, to its first dot.
func (t token) base(segment string) string {
	return segment[:max(0, len(segment)-len(t.segment("", 0)))]
}

// maxIndex is the largest part: seven digits follow the 0.
const maxIndex = 9_999_999

// marker is the key of the upload itself.
func (t token) marker(key string) string {
	base, suffix := split(key)
	return base + "_upload_" + string(t) + suffix
}

// unmark is the key that an upload was begun for.
func (t token) unmark(marker string) (key string, ok bool) {
	base, suffix, ok := strings.Cut(marker, "_upload_"+string(t))
	return base + suffix, ok
}

// typed is the token in a content type of that kind.
func typed(contentType, kind string) (token, bool) {
	rest, ok := strings.CutPrefix(contentType, kind)
	if t := token(rest); ok && t.valid() {
		return t, true
	}
	return "", false
}
