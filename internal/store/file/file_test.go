package file_test

import (
	"testing"

	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// place is a store that a second process can open as well.
type place struct {
	*file.Store
	root string
}

func (p place) Reopen(t *testing.T) store.Full { return open(t, p.root) }

func open(t testing.TB, root string) *file.Store {
	t.Helper()
	s, err := file.New(root, file.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Full {
		root := t.TempDir()
		return place{open(t, root), root}
	})
}
