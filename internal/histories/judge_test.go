package histories

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cofferdb/coffer/internal/workload"
)

// link is one backup of a history with what may be known of its moment.
type link struct {
	before, after time.Time
	shop          workload.Journal
	steps         []did
}

// judge holds a restored database against what was noted, and gives the checksums of
// its tables.
func (l link) judge(ctx context.Context, db *sql.DB) (map[string]uint64, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	k, err := l.position(ctx, conn)
	if err != nil {
		return nil, err
	}
	broken, err := l.tables(ctx, conn, k)
	if err != nil {
		return nil, fmt.Errorf("after step %d (%.200s): %w", k, l.steps[k-1].text, err)
	}
	schema := ""
	if broken {
		schema = workload.DefaultSchema // what has no tablespace cannot be checked
	}
	if err := workload.CheckTables(ctx, db, schema); err != nil {
		return nil, err
	}
	r, err := workload.Check(ctx, db, l.shop, l.before, l.after)
	if err != nil {
		return nil, fmt.Errorf("%w; %q", err, r.Problems)
	}
	return workload.Checksums(ctx, db, schema)
}

// position is the last step there, which the backup's times must allow.
func (l link) position(ctx context.Context, conn *sql.Conn) (int, error) {
	var k, n int
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0), COUNT(*) FROM lab.steps").Scan(&k, &n); err != nil {
		return 0, err
	}
	if k != n || k < 1 || k > len(l.steps) {
		return 0, fmt.Errorf("the table of steps has %d rows up to number %d; %d were begun", n, k, len(l.steps))
	}
	if l.steps[k-1].begun.After(l.after) {
		return 0, fmt.Errorf("step %d is there and was begun after the backup's end", k)
	}
	if k < len(l.steps) && !l.steps[k].returned.IsZero() && l.steps[k].returned.Before(l.before) {
		return 0, fmt.Errorf("step %d is missing and had returned before the backup began", k+1)
	}
	return k, nil
}

// tables compares every table with what it was after step k, or after the one
// behind it. broken: one has no tablespace, as it had then.
func (l link) tables(ctx context.Context, conn *sql.Conn, k int) (broken bool, err error) {
	now := states(l.steps, k)
	then := now
	if k < len(l.steps) {
		then = states(l.steps, k+1)
	}
	var wrong []error
	for n := range then {
		got, err := look(ctx, conn, n)
		if err != nil {
			got = err.Error()
		}
		want := now[n]
		if want == "" {
			want = absent
		}
		switch {
		case got == want || got == then[n]:
			broken = broken || got == unreadable
		default:
			wrong = append(wrong, fmt.Errorf("%s is %s, and must be %s or %s%s", n, got, want, then[n], l.tale(n, k)))
		}
	}
	return broken, errors.Join(wrong...)
}

// tale is what happened to a table last.
func (l link) tale(n name, k int) (text string) {
	from := 0
	for i := k; i > 0 && from < 6; i-- {
		if _, ok := l.steps[i-1].after[n]; ok {
			text += fmt.Sprintf("\n    step %d: %.160s", i, l.steps[i-1].text)
			from++
		}
	}
	return text
}
