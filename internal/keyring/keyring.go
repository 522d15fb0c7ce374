// Package keyring keeps data keys. Every instance has its own: an age X25519 pair
// whose public half goes to the agent with each order, and whose private half is
// wrapped for the operator's recipients before it is first used. The wrapped half
// lies in the records and beside every archive that it opens, as
// "keys/<key>.<generation>.age"; the plain half exists in memory only, while a
// role that holds the operator's identity file reads an archive.
//
// Rotation is a new wrap; shredding is deleting the wraps.
package keyring

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/store"
)

// Records keeps wrapped keys.
type Records interface {
	PutKey(ctx context.Context, id coffer.KeyID, gen int, wrapped []byte) error
	// Key gives the newest wrap; KindNotFound if there is none.
	Key(ctx context.Context, id coffer.KeyID) (gen int, wrapped []byte, err error)
}

// Stores opens stores by name.
type Stores interface {
	Open(ctx context.Context, name string) (store.Full, error)
}

// Ring makes, publishes and opens data keys. The zero Recipients mean that
// nothing is encrypted; an empty IdentityFile, that nothing can be opened here.
type Ring struct {
	Records      Records
	Stores       Stores
	Recipients   []age.Recipient
	IdentityFile string

	mu   sync.Mutex
	laid map[string]bool // names known to be published
}

// maxWrap bounds a wrapped key that is read back, in bytes.
const maxWrap = 64 << 10

// Name is the object of one wrap.
func Name(id coffer.KeyID, gen int) string { return fmt.Sprintf("keys/%s.%d.age", id, gen) }

// NewDataKey makes the data key of a new instance, if anything is to be
// encrypted, and gives its name and public half. The wrap is in the records
// before anybody can use the key.
func (r *Ring) NewDataKey(ctx context.Context, _ string, _ coffer.ProjectID, _ coffer.InstanceID) (coffer.KeyID, string, error) {
	const op = "make a data key"
	if len(r.Recipients) == 0 {
		return "", "", nil
	}
	k, err := codec.NewDataKey()
	if err != nil {
		return "", "", coffer.Wrap(op, err)
	}
	wrapped, err := codec.Wrap(k, r.Recipients)
	if err != nil {
		return "", "", coffer.Wrap(op, err)
	}
	if err := r.Records.PutKey(ctx, k.ID, k.Gen, wrapped); err != nil {
		return "", "", coffer.Wrap("keep the wrapped data key", err)
	}
	return k.ID, k.Recipient, nil
}

// Publish makes sure that the wrap of an instance's key lies in the container.
func (r *Ring) Publish(ctx context.Context, in coffer.Instance, storeName, container string) error {
	if in.Key == "" {
		return nil
	}
	gen, wrapped, err := r.Records.Key(ctx, in.Key)
	if err != nil {
		return coffer.Wrap("read the wrapped data key", err)
	}
	name := coffer.Prefix(in.Project, container) + Name(in.Key, gen)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.laid[storeName+"\x00"+name] {
		return nil
	}
	s, err := r.Stores.Open(ctx, storeName)
	if err != nil {
		return coffer.Wrap("open the store "+storeName, err)
	}
	_, err = s.Put(ctx, name, store.Bytes(wrapped), nil)
	if coffer.IsKind(err, coffer.KindExists) {
		err = compare(ctx, s, name, wrapped)
	}
	if err != nil {
		return coffer.Wrap("write the wrapped data key", err)
	}
	if r.laid == nil {
		r.laid = map[string]bool{}
	}
	r.laid[storeName+"\x00"+name] = true
	return nil
}

// compare holds a wrap that lies there already to ours: what is encrypted for a key
// whose wrap is another's, or is spoiled, could never be read.
func compare(ctx context.Context, s store.Store, name string, wrapped []byte) error {
	got, err := read(ctx, s, name)
	if err == nil && !bytes.Equal(got, wrapped) {
		err = coffer.E(coffer.KindConflict, "compare object "+name, "it holds another wrap than the records").
			WithHint("move the object away; the right one is then written again")
	}
	return err
}

// Identities opens a data key with the operator's identity. Without an identity
// file it gives none: the reader will say what it cannot read.
func (r *Ring) Identities(ctx context.Context, p archive.Place, id coffer.KeyID) ([]age.Identity, error) {
	if r.IdentityFile == "" || id == "" {
		return nil, nil
	}
	ids, err := codec.ReadIdentities(r.IdentityFile)
	if err != nil {
		return nil, coffer.Wrap("read the operator's identity", err)
	}
	wraps, err := r.wraps(ctx, p, id)
	if err != nil {
		return nil, err
	}
	var last error
	for _, w := range wraps {
		k, err := codec.Unwrap(w, ids)
		if err == nil {
			return []age.Identity{k}, nil
		}
		last = err
	}
	if last == nil {
		last = coffer.E(coffer.KindNotFound, "open the data key", "no wrap of key %s lies under %skeys/", id, p.Prefix).
			WithHint("restore the keys/ objects of this container: without a wrap the data cannot be read")
	}
	return nil, coffer.Wrap("open the data key "+string(id), last)
}

// wraps reads every generation that lies beside the archives, newest last.
func (r *Ring) wraps(ctx context.Context, p archive.Place, id coffer.KeyID) ([][]byte, error) {
	var out [][]byte
	for o, err := range p.Store.List(ctx, p.Prefix+"keys/"+string(id)+".") {
		if err != nil {
			return nil, coffer.Wrap("list the wrapped data keys", err)
		}
		if !strings.HasSuffix(o.Name, ".age") || o.Size > maxWrap {
			continue
		}
		b, err := read(ctx, p.Store, o.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

func read(ctx context.Context, s store.Store, name string) ([]byte, error) {
	rc, err := s.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, coffer.Wrap("read a wrapped data key", err)
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, maxWrap))
	return b, coffer.Wrap("read a wrapped data key", err)
}
