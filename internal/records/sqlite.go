package records

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/cofferdb/coffer"
)

// openSQLite gives one connection that writes and a pool that reads. Pragmas are
// in the address: a PRAGMA by Exec reaches one connection of a pool only.
func openSQLite(ctx context.Context, path string) (writer, readers *sql.DB, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, coffer.E(coffer.KindInvalid, "find the file", "%w", err)
	}
	if err := touch(abs); err != nil {
		return nil, nil, err
	}
	if writer, err = sql.Open("sqlite", address(abs, "query_only(0)")); err != nil {
		return nil, nil, classify(err)
	}
	writer.SetMaxOpenConns(1)
	writer.SetMaxIdleConns(1)
	if err := writer.PingContext(ctx); err != nil {
		return nil, nil, errors.Join(classify(err), writer.Close())
	}
	if readers, err = sql.Open("sqlite", address(abs, "query_only(1)")); err != nil {
		return nil, nil, errors.Join(classify(err), writer.Close())
	}
	pool := min(max(4, runtime.GOMAXPROCS(0)), 8) // each may cache 16 MB of pages
	readers.SetMaxOpenConns(pool)
	readers.SetMaxIdleConns(pool)
	return writer, readers, nil
}

// touch makes the file with the mode that its journal then inherits.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return coffer.E(coffer.KindUnavailable, "make the file", "%w", err).
				WithHint("make the folder %s first", filepath.Dir(path))
		}
		return coffer.E(coffer.KindUnavailable, "open the file", "%w", err)
	}
	return coffer.Wrap("close the file", f.Close())
}

func address(path, mode string) string {
	pragmas := []string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-16000)", mode}
	v := url.Values{"_txlock": {"immediate"}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: v.Encode()}).String()
}

// classify turns a driver's error into one of ours. Errors of ours pass.
func classify(err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*coffer.Error](err); ours {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	const op = "use the records"
	if errors.Is(err, sql.ErrConnDone) || strings.Contains(err.Error(), "database is closed") {
		return coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	e, is := errors.AsType[*sqlite.Error](err)
	if !is {
		return coffer.E(coffer.KindInternal, op, "%w", err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return coffer.E(coffer.KindNoSpace, op, "%w", err).WithHint("make room on the disk that holds the records")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return coffer.E(coffer.KindUnavailable, op, "%w", err).WithHint("another process holds the records; try again")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM,
		sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return coffer.E(coffer.KindUnavailable, op, "%w", err).WithHint("look at the disk that holds the records")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return coffer.E(coffer.KindCorrupt, op, "%w", err).WithHint("put back a copy of the records; the stored backups are whole without them")
	case sqlite3.SQLITE_INTERRUPT:
		return coffer.E(coffer.KindCanceled, op, "%w", err)
	}
	return coffer.E(coffer.KindInternal, op, "%w", err)
}

// isBusy reports whether err is a lock that another process held: worth another try.
func isBusy(err error) bool {
	e, is := errors.AsType[*sqlite.Error](err)
	if !is {
		return false
	}
	code := e.Code() & 0xff
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// undoesAll reports whether SQLite may have ended the whole transaction by itself,
// as it does for want of space, for a lock or an I/O error. What only spoils its
// own statement does not.
func undoesAll(err error) bool {
	e, is := errors.AsType[*sqlite.Error](err)
	if !is {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return false
	}
	return true
}

// isTaken reports whether err says that a unique key exists already.
func isTaken(err error) bool {
	e, is := errors.AsType[*sqlite.Error](err)
	return is && e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT
}

// nilIfNoTx drops the complaint about a ROLLBACK after the database has already
// rolled back by itself, as SQLite does when the disk is full.
func nilIfNoTx(err error) error {
	if e, is := errors.AsType[*sqlite.Error](err); is && e.Code()&0xff == sqlite3.SQLITE_ERROR {
		return nil
	}
	return err
}
