package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// checkEncryption refuses a backup of files whose pages the server encrypts. The
// tool would copy them as they are, and say so: but nothing of what it takes along
// names the keys in a way that a restore may believe, since it would have to load the
// plugin and read the key file that a stored stream asks for. A dump is plain, so
// it is only told which of its tables insist on encryption.
func (c *client) checkEncryption(ctx context.Context, l *sight) error {
	if l.dialect.percona {
		return c.checkMySQL(ctx, l.server)
	}
	var plugin string
	err := c.db.QueryRowContext(ctx, `SELECT PLUGIN_NAME FROM information_schema.PLUGINS
		WHERE PLUGIN_TYPE = 'ENCRYPTION' AND PLUGIN_STATUS = 'ACTIVE' LIMIT 1`).Scan(&plugin)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return c.failed(ctx, err)
	case l.dialect.method == engine.MySQLDump:
		return c.warnEncrypted(ctx, l)
	}
	what, err := c.encrypted(ctx)
	if err != nil || what == "" {
		return err
	}
	return coffer.E(coffer.KindUnsupported, opProbe, "%s encrypted by the server's plugin %s, and no restore could open a copy", what, plugin).
		WithHint("back this server up with MySQLDump, whose dump Coffer encrypts in its place")
}

// encrypted says what on the server's disk is encrypted; "" is nothing.
func (c *client) encrypted(ctx context.Context) (string, error) {
	var redo, aria bool
	var tables, name string
	err := c.db.QueryRowContext(ctx, `SELECT @@innodb_encrypt_log, @@aria_encrypt_tables, CAST(@@innodb_encrypt_tables AS CHAR)`).
		Scan(&redo, &aria, &tables)
	if err != nil {
		return "", c.failed(ctx, err)
	}
	switch {
	case tables != "OFF":
		return "new InnoDB tables are", nil
	case redo:
		return "the redo log is", nil
	case aria:
		return "Aria tables are", nil
	}
	err = c.db.QueryRowContext(ctx, `SELECT NAME FROM information_schema.INNODB_TABLESPACES_ENCRYPTION
		WHERE ENCRYPTION_SCHEME > 0 AND (MIN_KEY_VERSION > 0 OR ROTATING_OR_FLUSHING > 0) ORDER BY NAME LIMIT 1`).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return "the table " + strings.Replace(name, "/", ".", 1) + " is", c.failed(ctx, err)
}

// warnEncrypted names tables that were made with ENCRYPTED=YES: a server without an
// encryption plugin does not make them.
func (c *client) warnEncrypted(ctx context.Context, l *sight) error {
	names, err := c.texts(ctx, fmt.Sprintf(`SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES
		WHERE CREATE_OPTIONS LIKE '%%encrypted%%yes%%' ORDER BY 1 LIMIT %d`, maxNamed+1))
	if err != nil || len(names) == 0 {
		return err
	}
	if len(names) > maxNamed {
		names[maxNamed] = "and more"
	}
	l.warn("tables made with ENCRYPTED=YES can only be loaded into a server with an encryption plugin, and Coffer's restore is not one: %s",
		strings.Join(names, ", "))
	return nil
}
