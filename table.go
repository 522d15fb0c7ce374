package coffer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Table is a restore of one table: out of which database, and where to.
type Table struct {
	Database string `json:"database"`
	Name     string `json:"name"`
	// Into is the running server that it is loaded into; "" is the one that was
	// backed up.
	Into InstanceID `json:"into,omitempty"`
	// As is the database there; "" is the table's own.
	As string `json:"as,omitempty"`
	// Replace puts it in the place of the table of that name; else it is loaded
	// beside it, under a new name.
	Replace bool `json:"replace,omitempty"`
	// Dump is a new file of the agent's machine that gets its SQL; nothing is loaded.
	Dump string `json:"dump,omitempty"`
}

// maxIdentifier is how many characters a database's or a table's name may have.
const maxIdentifier = 64

// CheckIdentifier refuses what can be no name of a database or a table. All other
// characters may be in a name: whoever writes it into SQL quotes it.
func CheckIdentifier(what, name string) error {
	const op = "read a name"
	switch {
	case name == "":
		return E(KindInvalid, op, "the %s has no name", what)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r == 0 || r > 0xffff }):
		return E(KindInvalid, op, "%.80q is no name of a %s: it has characters that no name can have", name, what)
	case utf8.RuneCountInString(name) > maxIdentifier:
		return E(KindInvalid, op, "the name of the %s has more than %d characters", what, maxIdentifier)
	case strings.HasSuffix(name, " "):
		return E(KindInvalid, op, "%.80q is no name of a %s: it ends in a blank", name, what)
	case strings.ContainsAny(name, "/\\") || name == "." || name == "..":
		return E(KindInvalid, op, "%.80q is no name of a %s here: names with / and \\ are not taken", name, what).
			WithHint("restore all of the backup into a new server, and take the table from there")
	}
	return nil
}

// systemDatabases are the server's own.
var systemDatabases = []string{"mysql", "sys", "performance_schema", "information_schema"}

// SystemDatabase reports whether a database is the server's own.
func SystemDatabase(name string) bool {
	for _, s := range systemDatabases {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

// Check refuses what can never be restored.
func (t Table) Check() error {
	const op = "read the table to restore"
	if err := CheckIdentifier("database", t.Database); err != nil {
		return err
	}
	if err := CheckIdentifier("table", t.Name); err != nil {
		return err
	}
	if t.As != "" {
		if err := CheckIdentifier("database", t.As); err != nil {
			return err
		}
	}
	switch {
	case SystemDatabase(t.Database) || SystemDatabase(t.As):
		return E(KindForbidden, op, "tables of the server's own databases are not restored one by one").
			WithHint("restore all of the backup into a new server, and look there")
	case t.Dump != "" && (t.Into != "" || t.As != "" || t.Replace):
		return E(KindInvalid, op, "a table goes into a file or into a server, not both")
	case t.Dump != "" && !strings.HasPrefix(t.Dump, "/"):
		return E(KindInvalid, op, "the file %q is not an absolute path", t.Dump)
	case len(t.Dump) > 4096:
		return E(KindInvalid, op, "the file's path is too long")
	}
	return nil
}

// Placed is where the table of a job is in the end, in a server: beside the table
// itself it has the first letters of the job's id in its name.
func (t Table) Placed(j JobID) (database, name string) {
	database, name = t.Database, t.Name
	if t.As != "" {
		database = t.As
	}
	if !t.Replace {
		name = LongName(name, "_restored_"+j.Short())
	}
	return database, name
}

// LongName adds an ending to a name, which is cut to what a name may have.
func LongName(name, ending string) string {
	if r := []rune(name); len(r)+len(ending) > maxIdentifier {
		name = strings.TrimRight(string(r[:maxIdentifier-len(ending)]), " ")
	}
	return name + ending
}

// Short is the beginning of a job's id.
func (j JobID) Short() string { return fmt.Sprintf("%.8s", strings.ReplaceAll(string(j), "-", "")) }

// Server reports whether a restore to t makes a new server, and not files or one
// table.
func (t Target) Server() bool { return t.Dir == "" && t.Table == nil }

// ParseTable reads "db.t". A name that has a dot or a backtick is quoted as in SQL:
// `a.b`.t, with two backticks for one.
func ParseTable(text string) (database, name string, err error) {
	const op = "read the table's name"
	database, rest, ok := identifier(text)
	if ok && strings.HasPrefix(rest, ".") {
		name, rest, ok = identifier(rest[1:])
	} else {
		ok = false
	}
	if !ok || rest != "" {
		return "", "", E(KindInvalid, op, "%.140q does not name a table", text).
			WithHint("it looks like shop.orders; a name with a dot or a backtick in it is quoted as in SQL: `a.b`.orders")
	}
	if err := CheckIdentifier("database", database); err != nil {
		return "", "", err
	}
	return database, name, CheckIdentifier("table", name)
}

// identifier takes one name off text.
func identifier(text string) (name, rest string, ok bool) {
	if !strings.HasPrefix(text, "`") {
		i := strings.IndexAny(text, ".`")
		if i < 0 {
			return text, "", text != ""
		}
		return text[:i], text[i:], i > 0 && text[i] == '.'
	}
	var b strings.Builder
	for text = text[1:]; ; {
		i := strings.IndexByte(text, '`')
		if i < 0 {
			return "", "", false
		}
		b.WriteString(text[:i])
		if text = text[i+1:]; !strings.HasPrefix(text, "`") {
			return b.String(), text, b.Len() > 0
		}
		b.WriteByte('`')
		text = text[1:]
	}
}

// QuoteIdentifier is a name as SQL takes it.
func QuoteIdentifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// TableText is a table's name as [ParseTable] reads it.
func TableText(database, name string) string {
	for _, n := range []*string{&database, &name} {
		if strings.ContainsAny(*n, ".`") {
			*n = QuoteIdentifier(*n)
		}
	}
	return database + "." + name
}
