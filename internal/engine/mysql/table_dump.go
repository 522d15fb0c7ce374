package mysql

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// dump writes the table as SQL.
func (t *tableRun) dump(ctx context.Context, s *loadServer) (engine.TableResult, error) {
	v, err := t.inspect(ctx, s)
	if err != nil {
		return engine.TableResult{}, err
	}
	n, err := t.write(ctx, t.order.Dump, t.order.Name, append(v.options(), "--triggers", "--skip-add-drop-table")...)
	return engine.TableResult{Name: t.order.Name, Rows: v.rows, Bytes: n}, err
}

// tableView is what the throw-away server says of the table.
type tableView struct {
	rows      int64
	create    string
	triggers  int
	versioned bool
}

// options are those of the dump program that this table needs.
func (v tableView) options() []string {
	if v.versioned {
		return []string{"--dump-history"}
	}
	return nil
}

// inspect looks at the table, and sees that it can be read at all.
func (t *tableRun) inspect(ctx context.Context, s *loadServer) (v tableView, err error) {
	const op = "look at the table"
	name := coffer.QuoteIdentifier(t.order.Database) + "." + coffer.QuoteIdentifier(t.order.Name)
	var kind, comment string
	err = s.conn.QueryRowContext(ctx, `SELECT TABLE_TYPE, COALESCE(TABLE_COMMENT, '') FROM information_schema.TABLES
		WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`, t.order.Database, t.order.Name).Scan(&kind, &comment)
	switch {
	case err != nil:
		return v, coffer.E(coffer.KindTool, op, "the server does not find it in its files: %w; it said: %s", err, s.words.String())
	case kind == "VIEW":
		return v, coffer.E(coffer.KindUnsupported, op, "%s is a view: it holds no rows", coffer.TableText(t.order.Database, t.order.Name)).
			WithHint("restore the tables that it reads")
	case kind == "SEQUENCE":
		return v, coffer.E(coffer.KindUnsupported, op, "%s is a sequence", coffer.TableText(t.order.Database, t.order.Name)).
			WithHint("make it anew where it is wanted")
	}
	v.versioned = kind == "SYSTEM VERSIONED"
	var table string
	if err := s.conn.QueryRowContext(ctx, "SHOW CREATE TABLE "+name).Scan(&table, &v.create); err != nil {
		return v, coffer.E(coffer.KindTool, op, "%w; the server said: %s", err, s.words.String())
	}
	all := name
	if v.versioned {
		all += " FOR SYSTEM_TIME ALL"
	}
	if err := s.conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+all).Scan(&v.rows); err != nil {
		return v, coffer.E(coffer.KindTool, op, "%w; the server said: %s", err, s.words.String())
	}
	err = s.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ?`,
		t.order.Database, t.order.Name).Scan(&v.triggers)
	return v, coffer.Wrap(op, err)
}

// write runs the dump program on one table of the throw-away server, and says how
// much it gave.
func (t *tableRun) write(ctx context.Context, to io.Writer, table string, options ...string) (int64, error) {
	t.progress("dump")
	l := &loader{restorer: t.restorer, tools: t.tools}
	args := []string{
		"--no-defaults", "--user=root", "--socket=" + loadSocket, "--skip-lock-tables", "--quick", "--hex-blob",
		"--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--skip-add-locks", "--skip-disable-keys",
	}
	cmd := l.command(ctx, t.tools.Dump, append(append(args, options...), "--", t.order.Database, table)...)
	out := &dumpWatch{to: to, run: t, last: lastBytes{max: 200}}
	cmd.Stdout = out
	if err := finish(ctx, "write the table as SQL", cmd); err != nil {
		if out.err != nil { // the program only says that nobody reads
			err = coffer.Wrap("write the table as SQL", out.err)
		}
		return out.n, err
	}
	lines := strings.Split(strings.TrimSpace(out.last.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, dumpClosing) {
		return out.n, coffer.E(coffer.KindTool, "write the table as SQL", "it ends without the closing line; its last: %.100q", last)
	}
	return out.n, nil
}

// dumpWatch passes a dump on.
type dumpWatch struct {
	to   io.Writer
	run  *tableRun
	last lastBytes
	n    int64
	err  error
}

// Write passes p on and tells of the progress.
func (w *dumpWatch) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.n, w.err = w.n+int64(n), err
	_, _ = w.last.Write(p[:n]) // into memory
	if w.run.order.Progress != nil {
		w.run.order.Progress(engine.Progress{Phase: "dump", Plain: w.n})
	}
	return n, err
}

// foreignKey is one of a table, as SHOW CREATE TABLE writes it.
type foreignKey struct {
	name string // quoted
	rule string // FOREIGN KEY …
}

var foreignKeyLine = regexp.MustCompile("(?m)^  CONSTRAINT (`(?:[^`]|``)+`) (FOREIGN KEY .*?),?$")

func (v tableView) foreignKeys() (keys []foreignKey) {
	for _, m := range foreignKeyLine.FindAllStringSubmatch(v.create, -1) {
		keys = append(keys, foreignKey{m[1], m[2]})
	}
	return keys
}

// triggerText is the table's triggers as SQL, for a table of that name.
func (t *tableRun) triggerText(ctx context.Context, table string) ([]byte, error) {
	b := &bounded{left: 16 << 20}
	_, err := t.write(ctx, b, table, "--no-create-info", "--no-data", "--triggers")
	return b.Bytes(), err
}

// bounded is a buffer that refuses more than it may hold.
type bounded struct {
	bytes.Buffer
	left int
}

// Write keeps p.
func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, coffer.E(coffer.KindUnsupported, "read the table's triggers", "they are longer than can be kept")
	}
	return b.Buffer.Write(p)
}
