package storetest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

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
