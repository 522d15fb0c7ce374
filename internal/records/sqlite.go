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

// sqliteTrouble reads an error of SQLite.
func sqliteTrouble(err error) (trouble, bool) {
	e, is := errors.AsType[*sqlite.Error](err)
	if !is {
		return trouble{}, false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		return trouble{taken: true}, true
	case sqlite3.SQLITE_FULL:
		return trouble{kind: coffer.KindNoSpace, hint: "make room on the disk that holds the records"}, true
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return trouble{kind: coffer.KindUnavailable, hint: "another process holds the records; try again", busy: true}, true
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM,
		sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return trouble{kind: coffer.KindUnavailable, hint: "look at the disk that holds the records"}, true
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return trouble{kind: coffer.KindCorrupt, hint: "put back a copy of the records; the stored backups are whole without them"}, true
	case sqlite3.SQLITE_INTERRUPT:
		return trouble{kind: coffer.KindCanceled}, true
	}
	return trouble{}, true
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

// nilIfNoTx drops the complaint about a ROLLBACK after the database has already
// rolled back by itself, as SQLite does when the disk is full.
func nilIfNoTx(err error) error {
	if e, is := errors.AsType[*sqlite.Error](err); is && e.Code()&0xff == sqlite3.SQLITE_ERROR {
		return nil
	}
	return err
}
