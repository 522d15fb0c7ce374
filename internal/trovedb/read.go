package trovedb

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/cofferdb/coffer"
)

// maxRows bounds what is read of one table.
const maxRows = 1_000_000

// Row is one row, by the names of its columns; what is NULL or not there in this version
// of Trove is "".
type Row map[string]string

// Content is what a database of Trove's holds that is taken over.
type Content struct {
	Backups    []Row // not deleted ones
	Versions   map[string]coffer.Datastore
	Strategies []Row
	Quotas     []Row // of backups
}

// Querier is a database, or one connection to it.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Read reads it all. A table that this version of Trove did not have is empty.
func Read(ctx context.Context, db Querier) (c Content, err error) {
	const op = "read Trove's database"
	c.Versions = map[string]coffer.Datastore{}
	all, err := rows(ctx, db, `SELECT * FROM backups ORDER BY created, id`)
	if err != nil {
		return c, coffer.E(coffer.KindUnavailable, op, "%w", err).WithHint("is it Trove's, and may the account read it?")
	}
	for _, r := range all {
		if !truth(r["deleted"]) {
			c.Backups = append(c.Backups, r)
		}
	}
	versions, err := rows(ctx, db, `SELECT v.id AS id, v.name AS name, d.name AS type FROM datastore_versions v JOIN datastores d ON d.id = v.datastore_id`)
	if err != nil {
		return c, coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	for _, r := range versions {
		c.Versions[r["id"]] = coffer.Datastore{Type: r["type"], Version: r["name"], VersionID: r["id"]}
	}
	if c.Strategies, err = optional(ctx, db, `SELECT * FROM backup_strategy ORDER BY tenant_id, instance_id`); err != nil {
		return c, coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	if c.Quotas, err = rows(ctx, db, `SELECT * FROM quotas WHERE resource = 'backups' ORDER BY tenant_id`); err != nil {
		return c, coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	return c, nil
}

// optional is the rows of a table that older versions do not have.
func optional(ctx context.Context, db Querier, query string) ([]Row, error) {
	out, err := rows(ctx, db, query)
	if err == nil {
		return out, nil
	}
	if _, other := rows(ctx, db, `SELECT COUNT(*) AS n FROM backups`); other != nil {
		return nil, err // it is not this table
	}
	return nil, nil
}

func rows(ctx context.Context, db Querier, query string) (out []Row, err error) {
	r, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	columns, err := r.Columns()
	if err != nil {
		return nil, err
	}
	for r.Next() {
		if len(out) == maxRows {
			return nil, fmt.Errorf("there are more than %d rows", maxRows)
		}
		cells := make([]any, len(columns))
		at := make([]any, len(columns))
		for i := range cells {
			at[i] = &cells[i]
		}
		if err := r.Scan(at...); err != nil {
			return nil, err
		}
		row := Row{}
		for i, name := range columns {
			row[name] = text(cells[i])
		}
		out = append(out, row)
	}
	return out, r.Err()
}

// text is a cell, whatever a driver makes of it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(v)
}

func truth(s string) bool { return s != "" && s != "0" && s != "false" }

// moment is a time of Trove's, which is UTC and says no zone; zero where it is none.
func moment(s string) time.Time {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999"} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
