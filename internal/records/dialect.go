package records

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/cofferdb/coffer"
)

// dialect is what differs between the databases beneath the records. Its zero
// value speaks as SQLite does.
type dialect struct {
	name      string // and the folder of its migrations
	numbered  bool   // placeholders are $1, $2 … instead of ?
	forUpdate string // ends a SELECT that takes its row until the transaction's end; "" where every transaction has all rows anyway
	shared    bool   // many write at once: each write is a transaction of its own
	pipelined bool   // several statements are one round trip; see pipe
	lock      string // the first statement of a schema change: whoever comes second waits
	texts     *texts // queries that were bound before; may be nil
}

var (
	sqliteDialect   = dialect{name: "sqlite"}
	postgresDialect = dialect{name: "postgres", numbered: true, forUpdate: " FOR UPDATE", shared: true, pipelined: true,
		lock: `SELECT pg_advisory_xact_lock(4846201763)`}
	mysqlDialect = dialect{name: "mysql", forUpdate: " FOR UPDATE", shared: true}
)

// bind writes a query's placeholders as the database wants them. A question mark
// between quotes is text.
func (d dialect) bind(query string) string {
	if !d.numbered {
		return query
	}
	if text, known := d.texts.get(query); known {
		return text
	}
	text := numbered(query)
	d.texts.put(query, text)
	return text
}

func numbered(query string) string {
	var b strings.Builder
	b.Grow(len(query) + 16)
	n, quoted := 0, false
	for _, r := range query {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == '?' && !quoted:
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// trouble is what a database's error means to us.
type trouble struct {
	kind  coffer.Kind
	hint  string
	busy  bool // it gave way to another transaction: the whole of it can be tried again
	taken bool // a unique key exists already
	lost  bool // the connection is gone
}

// troubleOf reads an error of any of the databases.
func troubleOf(err error) (trouble, bool) {
	for _, read := range []func(error) (trouble, bool){sqliteTrouble, postgresTrouble, mysqlTrouble} {
		if t, ok := read(err); ok {
			return t, true
		}
	}
	return trouble{}, false
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
	t, known := troubleOf(err)
	if !known || t.kind == "" {
		t.kind = coffer.KindInternal
	}
	return &coffer.Error{Kind: t.kind, Op: op, Err: err, Hint: t.hint}
}

// isBusy reports whether err is a lock that another transaction held: worth
// another try.
func isBusy(err error) bool {
	t, _ := troubleOf(err)
	return t.busy
}

// isTaken reports whether err says that a unique key exists already.
func isTaken(err error) bool {
	t, _ := troubleOf(err)
	return t.taken
}

// texts remembers queries as a database wants them. Its nil remembers nothing.
type texts struct {
	mu    sync.RWMutex
	known map[string]string
}

// maxTexts bounds what is remembered: the queries of this package are few, only lists
// of rows and filters make variants.
const maxTexts = 1024

func (t *texts) get(query string) (text string, known bool) {
	if t == nil {
		return "", false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	text, known = t.known[query]
	return text, known
}

func (t *texts) put(query, text string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = map[string]string{}
	}
	if len(t.known) < maxTexts {
		t.known[query] = text
	}
}
