package records

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

//go:embed migrations
var migrations embed.FS

// migration is one numbered step of the schema, forward only.
type migration struct {
	version  int64
	name     string
	checksum string
	body     string
}

// loadMigrations reads the steps of a dialect, named 0001_name.sql and up.
func loadMigrations(files fs.FS, dialect string) ([]migration, error) {
	const op = "read the migrations"
	names, err := fs.Glob(files, path.Join("migrations", dialect, "*.sql"))
	if err != nil {
		return nil, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	slices.Sort(names)
	var out []migration
	for i, name := range names {
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, coffer.E(coffer.KindInternal, op, "%w", err)
		}
		base := strings.TrimSuffix(path.Base(name), ".sql")
		number, _, _ := strings.Cut(base, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version != int64(i+1) {
			return nil, coffer.E(coffer.KindInternal, op, "%s is not step %d", name, i+1)
		}
		sum := sha256.Sum256(body)
		out = append(out, migration{version, base, hex.EncodeToString(sum[:]), string(body)})
	}
	return out, nil
}

// applyMigrations brings the schema up to the last step, under a lock: of two
// processes that start together one applies it and the other waits.
func applyMigrations(ctx context.Context, in dialect, writer *sql.DB, steps []migration) error {
	const op = "bring the schema up to date"
	if in.name == mysqlDialect.name {
		return coffer.Wrap(op, applyApart(ctx, writer, steps))
	}
	return coffer.Wrap(op, applyAtOnce(ctx, in, writer, steps))
}

const stepsTable = `CREATE TABLE IF NOT EXISTS schema_steps
	(version BIGINT PRIMARY KEY, name VARCHAR(255) NOT NULL, checksum VARCHAR(255) NOT NULL, applied BIGINT NOT NULL)`

// applyAtOnce applies all steps in one transaction: of a step that fails, and of
// those before it, nothing is left.
func applyAtOnce(ctx context.Context, in dialect, writer *sql.DB, steps []migration) (err error) {
	tx, err := writer.BeginTx(ctx, nil)
	if err != nil {
		return classify(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	c := conn{ctx: ctx, q: tx, dialect: in}
	if in.lock != "" {
		if _, err := c.exec(in.lock); err != nil {
			return err
		}
	}
	if _, err := c.exec(stepsTable); err != nil {
		return err
	}
	done, err := checkApplied(c, steps)
	if err != nil {
		return err
	}
	for _, m := range steps[done:] {
		if _, err := c.exec(m.body); err != nil {
			return coffer.Wrap("apply "+m.name, err)
		}
		if err := noteApplied(c, m); err != nil {
			return err
		}
	}
	return classify(tx.Commit())
}

func noteApplied(c conn, m migration) error {
	_, err := c.exec(`INSERT INTO schema_steps (version, name, checksum, applied) VALUES (?, ?, ?, ?)`,
		m.version, m.name, m.checksum, micros(time.Now()))
	return err
}

// checkApplied says how many steps the records have seen, and refuses records
// that saw others than ours.
func checkApplied(c conn, steps []migration) (int, error) {
	const op = "compare the schema"
	type seen struct{ name, checksum string }
	applied, err := many(c, func(r row) (s seen, err error) { return s, r.Scan(&s.name, &s.checksum) },
		`SELECT name, checksum FROM schema_steps ORDER BY version`)
	if err != nil {
		return 0, err
	}
	if len(applied) > len(steps) {
		return 0, coffer.E(coffer.KindUnsupported, op, "the records are at step %s, which this version does not know",
			applied[len(applied)-1].name).WithHint("use the version that last wrote them, or a newer one")
	}
	for i, s := range applied {
		if s.checksum != steps[i].checksum {
			return 0, coffer.E(coffer.KindCorrupt, op, "step %s is not the one that made these records", s.name).
				WithHint("use the version that made them")
		}
	}
	return len(applied), nil
}
