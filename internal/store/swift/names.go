package swift

import (
	"fmt"
	"net/url"
	"strconv"
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

// index is the number of the segment under that key; -1 when it has none.
func (t token) index(key, segment string) int {
	digits, _ := strings.CutPrefix(segment, t.segmentPrefix(key))
	i, err := strconv.Atoi(digits)
	if err != nil || i < 0 {
		return -1
	}
	return i
}

// maxIndex is the largest part: seven digits follow the 0.
const maxIndex = 9_999_999

// marker is the key of the upload itself. One upload of a family can hold the
// plain one, and so the plain names: who has it is a question to an object, which
// servers answer at once, and not to a listing, which may lag.
func (t token) marker(key string) string {
	if t[nonceLen:] == plainly {
		return family(key) + "upload"
	}
	return family(key) + "upload_" + string(t[:nonceLen])
}

const suffixParam = ";suffix="

// typeOf is the content type of a segment or marker of key. It holds what their
// own keys do not say: the upload, and how the object's key goes on.
func (t token) typeOf(kind, key string) string {
	kind += string(t)
	if _, suffix := split(key); suffix != "" {
		kind += suffixParam + escape(suffix)
	}
	return kind
}

// owner is the upload that a marker or segment is of, and the object's key.
func (e entry) owner(kind string) (t token, key string, ok bool) {
	if t, ok = typed(e.Type, kind); !ok {
		return "", "", false
	}
	end := t.marker("")
	if kind == segmentType {
		end = t.segment("", 0)
	}
	_, escaped, _ := strings.Cut(e.Type, suffixParam)
	suffix, err := url.PathUnescape(escaped)
	if err != nil || len(e.Key) < len(end) {
		return "", "", false
	}
	return t, e.Key[:len(e.Key)-len(end)] + suffix, true
}

// typed is the token in a content type of that kind.
func typed(contentType, kind string) (token, bool) {
	rest, ok := strings.CutPrefix(contentType, kind)
	if !ok {
		return "", false
	}
	rest, _, _ = strings.Cut(rest, ";")
	t := token(rest)
	return t, t.valid()
}
