package storetest

import (
	"bytes"
	"context"
	"fmt"
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

// Begin starts an upload.
func (m *Memory) Begin(ctx context.Context, name string, meta store.Meta) (store.Upload, error) {
	op := "begin " + name
	if err := check(ctx, op, name); err != nil {
		return store.Upload{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.objects[name]; taken {
		return store.Upload{}, coffer.E(coffer.KindExists, op, "the name is taken")
	}
	u := store.Upload{Name: name, Token: coffer.NewNonce(), Begun: time.Now().UTC()}
	m.uploads[u.Token] = &memUpload{Upload: u, meta: maps.Clone(meta), parts: map[int]memPart{}}
	return u, nil
}

// upload finds u under the lock.
func (m *Memory) upload(op string, u store.Upload) (*memUpload, error) {
	up, ok := m.uploads[u.Token]
	if !ok || up.Name != u.Name {
		if _, done := m.objects[u.Name]; done {
			return nil, coffer.E(coffer.KindExists, op, "the upload has ended and the object exists")
		}
		return nil, coffer.E(coffer.KindNotFound, op, "no such upload")
	}
	return up, nil
}

// Part stores one part.
func (m *Memory) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	op := fmt.Sprintf("write part %d of %s", i, u.Name)
	if err := check(ctx, op, u.Name); err != nil {
		return store.Part{}, err
	}
	if i < 0 || off < 0 {
		return store.Part{}, coffer.E(coffer.KindInvalid, op, "part %d at offset %d", i, off)
	}
	data, err := io.ReadAll(b.Reader())
	if err != nil {
		return store.Part{}, coffer.Wrap(op, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	up, err := m.upload(op, u)
	if err != nil {
		return store.Part{}, err
	}
	up.parts[i] = memPart{off: off, data: data, sum: b.SHA256()}
	return store.Part{Index: i, Offset: off, Size: b.Size(), SHA256: b.SHA256()}, nil
}

// Complete publishes the object.
func (m *Memory) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	op := "complete " + u.Name
	if err := check(ctx, op, u.Name); err != nil {
		return store.Object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	up, err := m.upload(op, u)
	if err != nil {
		return store.Object{}, err
	}
	var data []byte
	for i, p := range parts {
		have, ok := up.parts[i]
		if !ok || p.Index != i || p.Offset != int64(len(data)) || p.Offset != have.off || p.SHA256 != have.sum {
			return store.Object{}, coffer.E(coffer.KindInvalid, op, "part %d at %d is not the next one", p.Index, p.Offset)
		}
		data = append(data, have.data...)
	}
	o, err := m.set(op, u.Name, data, up.meta)
	if err == nil {
		delete(m.uploads, u.Token)
	}
	return o, err
}

// Abort forgets an upload.
func (m *Memory) Abort(ctx context.Context, u store.Upload) error {
	if err := check(ctx, "abort "+u.Name, u.Name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.uploads, u.Token)
	return nil
}

// Stale yields the uploads that are not ended.
func (m *Memory) Stale(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return func(yield func(store.Upload, error) bool) {
		m.mu.Lock()
		var found []store.Upload
		for _, u := range m.uploads {
			if strings.HasPrefix(u.Name, prefix) {
				found = append(found, u.Upload)
			}
		}
		m.mu.Unlock()
		slices.SortFunc(found, func(a, b store.Upload) int { return strings.Compare(a.Name+"\x00"+a.Token, b.Name+"\x00"+b.Token) })
		yieldAll(ctx, "list uploads of "+prefix, found, yield)
	}
}
