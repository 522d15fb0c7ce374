package main

import (
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

// --full-every counts the chain of the newest backup that can be stood on.
func TestChainLength(t *testing.T) {
	t.Parallel()
	at := func(minute, depth int, state coffer.State) coffer.Backup {
		return coffer.Backup{Created: time.Unix(int64(60*minute), 0), Depth: depth, State: state}
	}
	old := []coffer.Backup{at(2, 1, coffer.Completed), at(1, 0, coffer.Completed), at(3, 2, coffer.Completed)}
	if got := chainLength(old); got != 3 {
		t.Errorf("a full and two increments: %d", got)
	}
	if got := chainLength(append(old, at(4, 3, coffer.Failed))); got != 3 {
		t.Errorf("with a failed increment: %d", got)
	}
	if got := chainLength(append(old, at(4, 0, coffer.Completed))); got != 1 {
		t.Errorf("with a new full: %d", got)
	}
	if got := chainLength(nil); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}
