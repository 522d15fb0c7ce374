package records

import (
	"context"
)

// Exec is a statement of a test's own transaction.
type Exec func(query string, args ...any) (int64, error)

// Write runs a transaction as every change does, for tests outside the package.
func (d *DB) Write(ctx context.Context, run func(Exec) error) error {
	return d.write(ctx, "try", func(c conn) error { return run(c.exec) })
}

// Ask gives the first column of a query's first row.
func (d *DB) Ask(ctx context.Context, query string) (string, error) {
	s, _, err := one(d.reading(ctx), scanString, query)
	return s, err
}

// OpenAt opens records as a version that knew only the first steps of the schema,
// or further ones behind the last.
func OpenAt(ctx context.Context, s Source, first int, further ...string) (*DB, error) {
	in, writer, readers, err := connect(ctx, s)
	if err != nil {
		return nil, err
	}
	steps, err := loadMigrations(migrations, in.name)
	if err != nil {
		return nil, err
	}
	steps = steps[:first:first]
	for _, body := range further {
		steps = append(steps, migration{version: int64(len(steps) + 1), name: "further", checksum: body, body: body})
	}
	return begin(ctx, in, writer, readers, steps)
}

// Steps is how many steps the schema has.
func Steps() int {
	steps, err := loadMigrations(migrations, "sqlite")
	if err != nil {
		panic(err)
	}
	return len(steps)
}
