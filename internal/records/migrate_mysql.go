package records

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer"
)

// schemaWait is how many seconds a process waits for another that changes the schema.
const schemaWait = 120

// applyApart applies steps where a change of the schema commits by itself. Each
// statement is noted when it is done, so a step that was cut off goes on where it
// was; of the one statement that may have been done and not noted, "it is there
// already" is taken for done.
func applyApart(ctx context.Context, writer *sql.DB, steps []migration) (err error) {
	cn, err := writer.Conn(ctx) // the lock is the connection's
	if err != nil {
		return classify(err)
	}
	defer func() { err = errors.Join(err, classify(cn.Close())) }()
	c := conn{ctx: ctx, q: cn, dialect: mysqlDialect}
	// A lock's name is the whole server's, so it holds the database's.
	got, _, err := one(c, scanString, `SELECT GET_LOCK(SHA2(CONCAT('coffer ', DATABASE()), 224), ?)`, schemaWait)
	if err != nil {
		return err
	}
	if got != "1" {
		return coffer.E(coffer.KindBusy, "take the schema's lock", "another process has been changing the schema for %d seconds", schemaWait).
			WithHint("wait for it, or look whether it hangs")
	}
	defer func() {
		c.ctx = context.WithoutCancel(ctx)
		_, _, e := one(c, scanString, `SELECT RELEASE_LOCK(SHA2(CONCAT('coffer ', DATABASE()), 224))`)
		err = errors.Join(err, e)
	}()
	for _, table := range []string{stepsTable, `CREATE TABLE IF NOT EXISTS schema_parts
		(version BIGINT NOT NULL, part BIGINT NOT NULL, PRIMARY KEY (version, part))`} {
		if _, err := c.exec(table); err != nil {
			return err
		}
	}
	done, err := checkApplied(c, steps)
	if err != nil {
		return err
	}
	for _, m := range steps[done:] {
		if err := applyParts(c, m); err != nil {
			return coffer.Wrap("apply "+m.name, err)
		}
	}
	return nil
}

func applyParts(c conn, m migration) error {
	first, _, err := one(c, scanInt, `SELECT COUNT(*) FROM schema_parts WHERE version = ?`, m.version)
	if err != nil {
		return err
	}
	for i, statement := range statements(m.body) {
		if int64(i) < first {
			continue
		}
		if _, err := c.exec(statement); err != nil && (int64(i) > first || !isThere(err)) {
			return err
		}
		if _, err := c.exec(`INSERT INTO schema_parts (version, part) VALUES (?, ?)`, m.version, i); err != nil {
			return err
		}
	}
	return noteApplied(c, m)
}

// statements splits a step: each statement ends with a semicolon at a line's end.
func statements(body string) []string {
	var out []string
	for s := range strings.SplitSeq(body+"\n", ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// isThere reports whether a table, column or key exists already, or is gone already.
func isThere(err error) bool {
	e, is := errors.AsType[*mysql.MySQLError](err)
	return is && (e.Number == 1050 || e.Number == 1051 || e.Number == 1060 || e.Number == 1061 || e.Number == 1091)
}
