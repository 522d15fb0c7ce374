package archive_test

import (
	"context"
	"io"
	"testing"

	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// forgetful takes parts and keeps nothing, so that only we are measured.
type forgetful struct{ store.Full }

func (forgetful) Part(_ context.Context, _ store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	return store.Part{Index: i, Offset: off, Size: b.Size(), SHA256: b.SHA256()}, nil
}

const benchBytes = 256 << 20

func BenchmarkWrite(b *testing.B) {
	block := append(words(1, 512<<10), content(1, 512<<10)...)
	b.SetBytes(benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		p := archive.Place{Store: forgetful{storetest.NewMemory()}}
		w, err := archive.Create(b.Context(), p, intentOf(backupA), archive.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for range benchBytes / len(block) {
			if _, err := w.Write(block); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Abort(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	p, _ := memory()
	w, err := archive.Create(b.Context(), p, intentOf(backupA), archive.Options{})
	if err != nil {
		b.Fatal(err)
	}
	block := append(words(1, 512<<10), content(1, 512<<10)...)
	for range benchBytes / len(block) {
		if _, err := w.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Finish(b.Context(), manifest()); err != nil {
		b.Fatal(err)
	}
	if _, err := w.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		a, err := archive.Open(b.Context(), p, backupA, archive.Want{})
		if err != nil {
			b.Fatal(err)
		}
		r, err := a.Stream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		if err := a.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
