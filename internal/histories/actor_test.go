package histories

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer/internal/testenv"
)

// did is one step that was done, or is under way: the journal's line.
type did struct {
	text            string
	begun, returned time.Time
	after           map[name]string // what its tables are then; noted when it has returned
}

// actor plays the lab's steps on a server, one after the other.
type actor struct {
	s    *testenv.Server
	conn *sql.Conn
	lab  *lab

	files map[string][]byte // of the last tablespace that was exported, by extension

	mu   sync.Mutex
	list []did
	tick chan struct{} // closed at the end of the next step
}

func newActor(ctx context.Context, s *testenv.Server, db *sql.DB, seed uint64) (*actor, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	a := &actor{s: s, conn: conn, lab: newLab(seed), tick: make(chan struct{})}
	_, err = conn.ExecContext(ctx, "CREATE DATABASE lab; USE lab; CREATE TABLE lab.steps (id INT PRIMARY KEY) ENGINE=InnoDB")
	return a, err
}

// play does steps up to the first that fails.
func (a *actor) play(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := a.do(ctx, s); err != nil {
			return fmt.Errorf("step %d, %.300s%.300s: %w", len(a.journal()), s.sql, s.rows, err)
		}
	}
	return nil
}

// act plays n ops.
func (a *actor) act(ctx context.Context, n int) error {
	for range n {
		what, steps := a.lab.next()
		if err := a.play(ctx, steps); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

func (a *actor) do(ctx context.Context, s step) error {
	if s.before != nil {
		if err := s.before(ctx, a); err != nil {
			return err
		}
	}
	a.mu.Lock()
	a.list = append(a.list, did{text: s.sql + s.rows, begun: time.Now()})
	k := len(a.list)
	a.mu.Unlock()
	mark := fmt.Sprintf("INSERT INTO lab.steps VALUES (%d)", k)
	var err error
	switch {
	case s.rows == "":
		err = a.exec(ctx, s.sql, mark)
	case s.back:
		err = a.exec(ctx, "BEGIN", s.rows, "ROLLBACK", mark)
	default:
		err = a.exec(ctx, "BEGIN", s.rows, mark, "COMMIT")
	}
	if err != nil {
		return err
	}
	returned := time.Now()
	after := make(map[name]string)
	for _, n := range s.touches {
		if after[n], err = look(ctx, a.conn, n); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list[k-1].returned, a.list[k-1].after = returned, after
	close(a.tick)
	a.tick = make(chan struct{})
	return nil
}

func (a *actor) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := a.conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// journal is what was done so far, with what is under way.
func (a *actor) journal() []did {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]did(nil), a.list...)
}

// next is closed when a step ends.
func (a *actor) next() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tick
}

// The states of a table that are no checksum.
const (
	absent     = "absent"
	unreadable = "without its tablespace"
)

// look says what a table is: its rows' checksum, its definition's, and, if it has
// an index of words, what that finds.
func look(ctx context.Context, conn *sql.Conn, n name) (string, error) {
	var was, create string
	err := conn.QueryRowContext(ctx, "SHOW CREATE TABLE "+n.sql()).Scan(&was, &create)
	var no *mysql.MySQLError
	if errors.As(err, &no) && (no.Number == 1146 || no.Number == 1049) { // no such table, no such database
		return absent, nil
	}
	if errors.As(err, &no) && (no.Number == 1932 || no.Number == 1814) {
		return unreadable, nil
	}
	if err != nil {
		return "", err
	}
	var sum sql.NullString
	if err := conn.QueryRowContext(ctx, "CHECKSUM TABLE "+n.sql()).Scan(&was, &sum); err != nil {
		return "", err
	}
	if !sum.Valid {
		return unreadable, nil
	}
	state := fmt.Sprintf("%s, defined as %08x", sum.String, crc32.ChecksumIEEE([]byte(create)))
	if strings.Contains(create, "FULLTEXT") {
		var found int
		if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+n.sql()+" WHERE MATCH(s) AGAINST('+word7 +common' IN BOOLEAN MODE)").Scan(&found); err != nil {
			return "", err
		}
		state += fmt.Sprintf(", %d with the words", found)
	}
	return state, nil
}

// export copies a table's tablespace out of the data folder.
func (a *actor) export(ctx context.Context, n name) error {
	if err := a.exec(ctx, "FLUSH TABLES "+n.sql()+" FOR EXPORT"); err != nil {
		return err
	}
	a.files = make(map[string][]byte)
	for _, ext := range []string{".ibd", ".cfg"} {
		b, err := os.ReadFile(filepath.Join(a.s.DataDir, n.schema, n.table+ext))
		if err != nil {
			return err
		}
		a.files[ext] = b
	}
	return a.exec(ctx, "UNLOCK TABLES")
}

// place puts the tablespace where a table wants to import it.
func (a *actor) place(n name) error {
	for ext, b := range a.files {
		path := filepath.Join(a.s.DataDir, n.schema, n.table+ext)
		if err := os.WriteFile(path, b, 0o666); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o666); err != nil { // the server's account is another
			return err
		}
	}
	return nil
}

// states are what all tables are after step k (counted from 1).
func states(journal []did, k int) map[name]string {
	all := make(map[name]string)
	for _, d := range journal[:k] {
		maps.Copy(all, d.after)
	}
	return all
}
