package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// churn alters, renames, truncates and drops tables of a schema of its own until it
// is stopped. It stops at no error: a backup may hold a statement for a while.
func (s *schedule) churn(db *sql.DB) (stop func()) {
	s.t.Helper()
	statements := []string{
		"CREATE DATABASE churn", "CREATE TABLE churn.stays (id INT PRIMARY KEY, v TEXT)",
		"INSERT INTO churn.stays SELECT seq, REPEAT(MD5(seq), 20) FROM mysql.seq_1_to_500",
	}
	for _, q := range statements {
		if _, err := db.ExecContext(s.t.Context(), q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done, pause := make(chan struct{}), time.Duration(5+s.rng.IntN(60))*time.Millisecond
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			for _, q := range []string{
				fmt.Sprintf("CREATE TABLE churn.t%d AS SELECT * FROM churn.stays", n),
				fmt.Sprintf("ALTER TABLE churn.t%d ADD COLUMN more INT DEFAULT %d, ADD KEY (more)", n, n),
				fmt.Sprintf("RENAME TABLE churn.t%d TO churn.moved%d", n, n),
				"ALTER TABLE churn.stays FORCE",
				fmt.Sprintf("TRUNCATE TABLE churn.moved%d", n),
				fmt.Sprintf("INSERT INTO churn.moved%d SELECT *, 7 FROM churn.stays", n),
				fmt.Sprintf("DROP TABLE IF EXISTS churn.moved%d", n-2),
			} {
				_, _ = db.ExecContext(context.WithoutCancel(ctx), q)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}
