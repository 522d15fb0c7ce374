package storetest

import (
	"bytes"
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Memory is a whole store in memory. It keeps sums and Meta, so that tests see
// what a store that has them shows. Copies of its pointer are the same place.
type Memory struct {
	mu      sync.Mutex
	objects map[string]memObject
	uploads map[string]*memUpload
}

type memObject struct {
	store.Object
	data []byte
}

type memUpload struct {
	store.Upload
	meta  store.Meta
	parts map[int]memPart
}

type memPart struct {
	off  int64
	data []byte
	sum  string
}

var _ store.Full = (*Memory)(nil)

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{objects: map[string]memObject{}, uploads: map[string]*memUpload{}}
}

// Spoil changes an object's bytes behind the store's back, as a bad disk does:
// change gets the stored bytes and gives the new ones. It reports whether there
// was such an object.
func (m *Memory) Spoil(name string, change func([]byte) []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	if ok {
		o.data = change(bytes.Clone(o.data))
		o.Size = int64(len(o.data))
		o.SHA256 = "" // a store that kept a sum would notice
		m.objects[name] = o
	}
	return ok
}

// check is what every call checks first.
func check(ctx context.Context, op, name string) error {
	if err := ctx.Err(); err != nil {
		return coffer.Wrap(op, err)
	}
	return store.CheckName(name)
}

// set stores an object under the lock, unless the name is taken.
func (m *Memory) set(op, name string, data []byte, meta store.Meta) (store.Object, error) {
	if _, taken := m.objects[name]; taken {
		return store.Object{}, coffer.E(coffer.KindExists, op, "the name is taken")
	}
	sum := store.Bytes(data).SHA256()
	o := store.Object{Name: name, Size: int64(len(data)), SHA256: sum, ETag: sum[:32], Modified: time.Now().UTC(), Meta: maps.Clone(meta)}
	m.objects[name] = memObject{Object: o, data: data}
	return o, nil
}

// Put writes one object.
func (m *Memory) Put(ctx context.Context, name string, b store.Body, meta store.Meta) (store.Object, error) {
	op := "write " + name
	if err := check(ctx, op, name); err != nil {
		return store.Object{}, err
	}
	data, err := io.ReadAll(b.Reader())
	if err != nil {
		return store.Object{}, coffer.Wrap(op, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set(op, name, data, meta)
}

// get is an object, or KindNotFound.
func (m *Memory) get(ctx context.Context, op, name string) (memObject, error) {
	if err := check(ctx, op, name); err != nil {
		return memObject{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	if !ok {
		return o, coffer.E(coffer.KindNotFound, op, "no such object")
	}
	return o, nil
}

// Open reads a range.
func (m *Memory) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	op := "read " + name
	o, err := m.get(ctx, op, name)
	if err != nil {
		return nil, err
	}
	size := int64(len(o.data))
	if off < 0 || off > size {
		return nil, coffer.E(coffer.KindInvalid, op, "offset %d is outside of %d bytes", off, size)
	}
	end := size
	if n >= 0 {
		end = min(size, off+n)
	}
	return &memReader{ctx: ctx, op: op, r: bytes.NewReader(o.data[off:end]), short: n > size-off}, nil
}

type memReader struct {
	ctx   context.Context
	op    string
	r     *bytes.Reader
	short bool
}

func (r *memReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, coffer.Wrap(r.op, err)
	}
	n, err := r.r.Read(p)
	if err == io.EOF && r.short {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *memReader) Close() error { return nil }

// Stat says what is there.
func (m *Memory) Stat(ctx context.Context, name string) (store.Object, error) {
	o, err := m.get(ctx, "look at "+name, name)
	return o.Object, err
}

// List yields what begins with prefix, as it was when the listing began.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		m.mu.Lock()
		var found []store.Object
		for _, name := range slices.Sorted(maps.Keys(m.objects)) {
			if strings.HasPrefix(name, prefix) {
				o := m.objects[name].Object
				o.Meta = nil
				found = append(found, o)
			}
		}
		m.mu.Unlock()
		yieldAll(ctx, "list "+prefix, found, yield)
	}
}

func yieldAll[T any](ctx context.Context, op string, all []T, yield func(T, error) bool) {
	var zero T
	if err := ctx.Err(); err != nil {
		yield(zero, coffer.Wrap(op, err))
		return
	}
	for _, v := range all {
		if err := ctx.Err(); err != nil {
			yield(zero, coffer.Wrap(op, err))
			return
		}
		if !yield(v, nil) {
			return
		}
	}
}

// Delete removes one object.
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := check(ctx, "delete "+name, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}
