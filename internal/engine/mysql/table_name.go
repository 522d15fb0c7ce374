package mysql

import (
	"path"
	"strconv"
	"strings"
)

// tableFile is what a file's name says: of which table it is.
type tableFile struct {
	database, table string
	ext             string // with its dot
	partition       bool   // of one partition
}

// parseTableFile reads the name of a file of a database's folder; ok is false for
// one that is of no table, as db.opt or a table that the server made for itself.
func parseTableFile(name string) (f tableFile, ok bool) {
	dir, base, found := strings.Cut(name, "/")
	if !found || strings.Contains(base, "/") || strings.HasPrefix(base, "#sql") || base == "db.opt" {
		return f, false
	}
	f.ext = path.Ext(base)
	base = strings.TrimSuffix(base, f.ext)
	for _, mark := range []string{"#P#", "#p#"} { // # itself is never written so in a name
		if t, _, cut := strings.Cut(base, mark); cut {
			base, f.partition = t, true
		}
	}
	f.database, f.table = decodeName(dir), decodeName(base)
	return f, base != "" && dir != ""
}

// oldName begins the SQL name of what has a file name that no newer server gives.
const oldName = "#mysql50#"

// decodeName gives the SQL name of a database or a table from its file name, in
// which each character but letters, digits and _ is a code: @0024, or @ with two
// letters.
func decodeName(file string) string {
	text := strings.TrimSuffix(file, "@@@") // names like con, which some systems reserve
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			b.WriteByte(c)
			i++
			continue
		case c != '@':
			return oldName + file
		}
		r, n := decodeLetter(text[i+1:])
		if n == 0 {
			return oldName + file
		}
		b.WriteRune(r)
		i += 1 + n
	}
	return b.String()
}

// decodeLetter reads one code behind its @, and says how long it is; 0 is none.
func decodeLetter(code string) (r rune, n int) {
	if len(code) >= 4 {
		if v, err := strconv.ParseUint(code[:4], 16, 16); err == nil && !strings.ContainsAny(code[:4], "+-") {
			return rune(v), 4
		}
	}
	if len(code) < 2 {
		return 0, 0
	}
	for rest := nameCodes; len(rest) > 2; {
		var letter rune
		for _, letter = range rest[2:] {
			break
		}
		if rest[:2] == code[:2] {
			return letter, 2
		}
		rest = rest[2+len(string(letter)):]
	}
	return 0, 0
}
