package keyring

import (
	"context"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// one is the one store, and records of one wrap.
type one struct {
	mem     *storetest.Memory
	wrapped []byte
}

func (o one) Open(context.Context, string) (store.Full, error) { return o.mem, nil }

func (o one) PutKey(context.Context, coffer.KeyID, int, []byte) error { return nil }

func (o one) Key(context.Context, coffer.KeyID) (int, []byte, error) { return 1, o.wrapped, nil }

// Nothing is encrypted for a key whose wrap in the store is not the one in the
// records: it could never be read.
func TestPublishComparesWhatIsThere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	in := coffer.Instance{ID: "i", Project: "p", Key: "k"}
	o := one{storetest.NewMemory(), []byte("wrap")}
	publish := func() error { return (&Ring{Records: o, Stores: o}).Publish(ctx, in, "s", "c") }
	for range 2 { // the second ring finds the first one's object
		if err := publish(); err != nil {
			t.Fatal(err)
		}
	}
	o.mem.Spoil("p/c/"+Name("k", 1), func([]byte) []byte { return []byte("cut") })
	if err := publish(); !coffer.IsKind(err, coffer.KindConflict) {
		t.Errorf("another wrap is taken for ours: %v", err)
	}
}
