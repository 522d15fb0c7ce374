package workload

import (
	"context"
	"database/sql"
	"strings"

	"github.com/cofferdb/coffer"
)

// Checksums gives CHECKSUM TABLE … EXTENDED of every base table of a schema, or,
// with "", of all schemas that are not the server's own. Keys are schema.table.
func Checksums(ctx context.Context, db *sql.DB, schema string) (map[string]uint64, error) {
	const op = "checksum the tables"
	names, err := userTables(ctx, db, schema)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	sums := make(map[string]uint64, len(names))
	for _, n := range names {
		var name string
		var sum sql.Null[uint64]
		if err := db.QueryRowContext(ctx, "CHECKSUM TABLE "+n.quoted()+" EXTENDED").Scan(&name, &sum); err != nil {
			return nil, coffer.Wrap(op+": "+n.String(), err)
		}
		if !sum.Valid {
			return nil, coffer.E(coffer.KindCorrupt, op, "the server cannot read %s", n)
		}
		sums[n.String()] = sum.V
	}
	return sums, nil
}

// CheckTables runs CHECK TABLE … EXTENDED on the same tables and names the first
// that is not well.
func CheckTables(ctx context.Context, db *sql.DB, schema string) error {
	const op = "check the tables"
	names, err := userTables(ctx, db, schema)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	for _, n := range names {
		if err := checkTable(ctx, db, n); err != nil {
			return err
		}
	}
	return nil
}

// stillOpen is what the server says of a MyISAM table that was copied while it was
// open and nobody wrote. It is no fault; the check goes on and says what it finds.
const stillOpen = "using or hasn't closed the table properly"

// checkTable wants the answer's last line to be a status of OK, and no error or
// warning before it.
func checkTable(ctx context.Context, db *sql.DB, n tableName) error {
	const op = "check the tables"
	rows, err := db.QueryContext(ctx, "CHECK TABLE "+n.quoted()+" EXTENDED")
	if err != nil {
		return coffer.Wrap(op, err)
	}
	defer rows.Close()
	well := false
	for rows.Next() {
		var name, what, kind, text string
		if err := rows.Scan(&name, &what, &kind, &text); err != nil {
			return coffer.Wrap(op, err)
		}
		switch strings.ToLower(kind) {
		case "error", "warning":
			if strings.HasSuffix(text, stillOpen) {
				continue
			}
			return coffer.E(coffer.KindCorrupt, op, "%s: %s: %s", n, kind, text)
		case "status":
			well = text == "OK" || text == "Table is already up to date"
		}
	}
	if err := rows.Err(); err != nil {
		return coffer.Wrap(op, err)
	}
	if !well {
		return coffer.E(coffer.KindCorrupt, op, "%s is not said to be OK", n)
	}
	return nil
}

type tableName struct{ schema, name string }

func (n tableName) String() string { return n.schema + "." + n.name }

func (n tableName) quoted() string {
	q := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
	return q(n.schema) + "." + q(n.name)
}

func userTables(ctx context.Context, db *sql.DB, schema string) ([]tableName, error) {
	rows, err := db.QueryContext(ctx, `SELECT table_schema, table_name FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
		AND (? = '' OR table_schema = ?) ORDER BY 1, 2`, schema, schema)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []tableName
	for rows.Next() {
		var n tableName
		if err := rows.Scan(&n.schema, &n.name); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}
