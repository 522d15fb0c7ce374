package mysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/cofferdb/coffer"
)

// check looks for what would stop the load.
func (l *tableLoad) check(ctx context.Context) error {
	var version string
	var readOnly bool
	var schemas, views int
	err := l.client.db.QueryRowContext(ctx, `SELECT @@version, @@read_only,
		(SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?)`, l.database).Scan(&version, &readOnly, &schemas)
	switch {
	case err != nil:
		return l.client.failed(ctx, err)
	case !strings.Contains(version, "MariaDB"):
		return coffer.E(coffer.KindUnsupported, "", "it is %s, not MariaDB", version)
	case readOnly:
		return coffer.E(coffer.KindConflict, "", "the server is read_only").WithHint("load the table into the server that this one replicates from")
	case schemas == 0:
		return coffer.E(coffer.KindNotFound, "", "it has no database %q, or does not show it", l.database).
			WithHint("CREATE DATABASE %s, or name another with --into INSTANCE.DATABASE", coffer.QuoteIdentifier(l.database))
	}
	err = l.client.db.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(SUM(TABLE_TYPE = 'VIEW' OR TABLE_TYPE = 'SEQUENCE'), 0) FROM information_schema.TABLES
		WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`, l.database, l.wanted).Scan(&schemas, &views)
	switch {
	case err != nil:
		return l.client.failed(ctx, err)
	case schemas > 0 && !l.order.Replace:
		return coffer.E(coffer.KindConflict, "", "there is a table %s", l.name(l.wanted)).WithHint("rename or drop it")
	case views > 0:
		return coffer.E(coffer.KindConflict, "", "%s is no table there, but a view or a sequence", l.name(l.wanted)).WithHint("leave out --replace")
	}
	l.replaces = schemas > 0
	if err := l.checkRights(ctx); err != nil || !l.replaces {
		return err
	}
	return l.checkChildren(ctx)
}

// checkChildren refuses to replace a table that foreign keys of others point to:
// they would follow it to its new name.
func (l *tableLoad) checkChildren(ctx context.Context) error {
	var child string
	err := l.client.db.QueryRowContext(ctx, `SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' (', CONSTRAINT_NAME, ')') FROM information_schema.KEY_COLUMN_USAGE
		WHERE REFERENCED_TABLE_SCHEMA = ? AND REFERENCED_TABLE_NAME = ? AND NOT (TABLE_SCHEMA = ? AND TABLE_NAME = ?) LIMIT 1`,
		l.database, l.wanted, l.database, l.wanted).Scan(&child)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return l.client.failed(ctx, err)
	}
	return coffer.E(coffer.KindConflict, "", "a foreign key points to %s: %s", l.name(l.wanted), child).
		WithHint("leave out --replace and copy the rows over, or drop the foreign key and make it again afterwards")
}

// checkRights compares what the account may do with what a load takes. Rights that
// come with a role are not listed; then the server's own answer has to do.
func (l *tableLoad) checkRights(ctx context.Context) error {
	lines, err := l.client.texts(ctx, `SHOW GRANTS`)
	if err != nil {
		return err
	}
	held := map[string]bool{}
	for _, line := range lines {
		rights, on, ok := strings.Cut(strings.TrimPrefix(line, "GRANT "), " ON ")
		if !ok {
			return nil // a role
		}
		scope, _, _ := strings.Cut(on, " TO ")
		here := strings.ReplaceAll(strings.ReplaceAll(coffer.QuoteIdentifier(l.database), "_", `\_`), "%", `\%`) + ".*"
		if scope == "*.*" || scope == here || scope == coffer.QuoteIdentifier(l.database)+".*" {
			for r := range strings.SplitSeq(rights, ",") {
				held[strings.TrimSpace(r)] = true
			}
		}
	}
	if held["ALL PRIVILEGES"] {
		return nil
	}
	var missing []string
	for _, r := range []string{"SELECT", "INSERT", "CREATE", "ALTER", "DROP"} {
		if !held[r] {
			missing = append(missing, r)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	list := strings.Join(missing, ", ")
	return coffer.E(coffer.KindForbidden, "", "%s lacks %s on %s.*", l.client.login.user, list, coffer.QuoteIdentifier(l.database)).
		WithHint("GRANT SELECT, INSERT, CREATE, ALTER, DROP, REFERENCES, TRIGGER ON %s.* TO the account of the instance's credentials file", coffer.QuoteIdentifier(l.database))
}
