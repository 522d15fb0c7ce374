package xbstream

import (
	"strings"

	"github.com/cofferdb/coffer"
)

// CheckPath refuses a path that is not a plain relative one: empty or longer
// than [MaxPath], absolute, with an empty, "." or ".." component, a component
// longer than a file system takes, a backslash, or a control character. What the
// tools send are names that the server has already encoded, so nothing real is
// lost.
func CheckPath(path string) error {
	if reason := pathFault(path); reason != "" {
		if len(path) > 80 {
			path = path[:80] + "…"
		}
		return coffer.E(coffer.KindCorrupt, "check a name", "%q %s", path, reason)
	}
	return nil
}

func pathFault(path string) string {
	switch {
	case path == "":
		return "is empty"
	case len(path) > MaxPath:
		return "is too long"
	case path[0] == '/':
		return "is absolute"
	}
	for i := range len(path) {
		if b := path[i]; b == '\\' || b < ' ' || b == 0x7f {
			return "holds a character that no name has"
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return "is not a plain relative path"
		case len(part) > 255:
			return "has a component that is too long"
		}
	}
	return ""
}
