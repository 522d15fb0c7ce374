package workload

import (
	"context"
	"errors"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
)

// The answer of a commit is lost: the ledger says whether it happened.
func TestSettle(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t, testenv.MariaDBOptions{}).DB(t)
	if err := exec(t.Context(), db, ddl("shop")...); err != nil {
		t.Fatal(err)
	}
	if err := exec(t.Context(), db, "INSERT INTO shop.ledger VALUES (1, 7, '', 0)"); err != nil {
		t.Fatal(err)
	}
	const query = "SELECT COUNT(*) FROM shop.ledger WHERE worker = 1 AND seq = ?"
	w := &Writer{db: db, stop: make(chan struct{})}
	lost := errors.New("the answer is lost")
	if happened, _ := w.settle(t.Context(), lost, query, 7); !happened {
		t.Error("a commit that happened is not found")
	}
	if happened, again := w.settle(t.Context(), lost, query, 8); happened || !again {
		t.Errorf("a commit that did not happen: happened %v, again %v", happened, again)
	}
	if n, last := w.Retries(); n != 2 || last != lost {
		t.Errorf("%d retries, %v", n, last)
	}
	close(w.stop)
	if happened, _ := w.settle(t.Context(), lost, query, 7); !happened {
		t.Error("the end is near, and a commit that happened is not found")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if happened, again := w.settle(ctx, lost, query, 7); happened || again {
		t.Errorf("without a server, at the end: happened %v, again %v; want unknown", happened, again)
	}
}
