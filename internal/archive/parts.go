package archive

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

const (
	// maxSending bounds the uploads at a time, for the sake of tiny parts.
	maxSending = 32
	// maxWhole is the largest volume that is written at once: an upload costs a store
	// three requests instead of one.
	maxWhole = 1 << 20
)

// partWriter cuts one long stream into parts and stores each on its own
// goroutine, volume by volume. A volume's upload begins with its first part; a small
// one has none. Write is for one goroutine. The context lives as
// long as the stream: its cause is the first failure of anything in it.
type partWriter struct {
	ctx       context.Context
	fail      context.CancelCauseFunc
	st        store.Full
	pol       retry.Policy
	name      func(volume int) string // as the store knows it
	partSize  func(i int) int64
	maxObject int64 // 0 is no limit
	maxParts  int   // a volume; 0 is no limit
	md5       bool
	pool      *pool
	slots     chan struct{}
	tasks     sync.WaitGroup
	stored    atomic.Int64

	volumes []*volume
	count   int // parts begun, over all volumes
	chunks  [][]byte
	fill    int64 // bytes in chunks
	target  int64 // of the part being filled; 0 is none
	unit    int64 // of the newest chunk, if its part did not end with it
}

// volume is one object on its way.
type volume struct {
	name   string
	upload store.Upload // without a token where none was begun
	size   int64
	parts  []*sent
	whole  bool // written at once
	done   bool
}

// sent is one part. Its goroutine fills it, and is waited for before it is read.
type sent struct {
	part store.Part
	md5  string
}

// Write takes p into parts. It blocks while the bytes in flight are at their
// bound.
func (w *partWriter) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if err := w.room(); err != nil {
			w.fail(err)
			return n, context.Cause(w.ctx)
		}
		last := len(w.chunks) - 1
		c := w.chunks[last]
		k := min(cap(c)-len(c), len(p)-n)
		w.chunks[last] = append(c, p[n:n+k]...)
		n += k
		w.fill += int64(k)
		if w.fill == w.target {
			if err := w.send(false); err != nil {
				w.fail(err)
				return n, context.Cause(w.ctx)
			}
		}
	}
	return n, nil
}

// room makes sure that the last chunk can take a byte.
func (w *partWriter) room() error {
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	if w.target == 0 {
		if err := w.startPart(); err != nil {
			return err
		}
	}
	if last := len(w.chunks) - 1; last >= 0 && len(w.chunks[last]) < cap(w.chunks[last]) {
		return nil
	}
	w.unit = min(chunkSize, max(firstChunk, 4*w.unit))
	c, err := w.pool.get(w.ctx, min(w.unit, w.target-w.fill))
	if err != nil {
		return err
	}
	w.chunks = append(w.chunks, c)
	return nil
}

// startPart decides how long the next part may be, and takes a new volume for it if
// the last one is full.
func (w *partWriter) startPart() error {
	v := w.volume()
	full := v == nil || w.maxObject > 0 && v.size >= w.maxObject || w.maxParts > 0 && len(v.parts) >= w.maxParts
	if full {
		var err error
		if v, err = w.nextVolume(); err != nil {
			return err
		}
	}
	w.target = min(max(1, w.partSize(w.count)), MaxPart)
	if w.maxObject > 0 {
		w.target = min(w.target, w.maxObject-v.size)
	}
	return nil
}

func (w *partWriter) volume() *volume {
	if len(w.volumes) == 0 {
		return nil
	}
	return w.volumes[len(w.volumes)-1]
}

func (w *partWriter) nextVolume() (*volume, error) {
	if len(w.volumes) == maxVolumes {
		return nil, coffer.E(coffer.KindUnsupported, "begin a volume", "the archive would have more than %d", maxVolumes).
			WithHint("raise the store's largest object")
	}
	v := &volume{name: w.name(len(w.volumes))}
	w.volumes = append(w.volumes, v)
	return v, nil
}

func (w *partWriter) begin(v *volume) error {
	return again(w.ctx, w.pol, "begin object "+v.name, func(ctx context.Context) (err error) {
		v.upload, err = w.st.Begin(ctx, v.name, nil)
		return err
	})
}

// send hands the filled part to a goroutine of its own. last says that the stream ends
// with it.
func (w *partWriter) send(last bool) error {
	v := w.volume()
	if len(v.parts) == 0 { // later ones' goroutines read it
		if v.whole = last && w.fill <= maxWhole; !v.whole {
			if err := w.begin(v); err != nil {
				return err
			}
		}
	}
	s := &sent{part: store.Part{Index: len(v.parts), Offset: v.size, Size: w.fill}}
	v.parts = append(v.parts, s)
	v.size += w.fill
	chunks := w.chunks
	w.chunks, w.fill, w.target = nil, 0, 0
	w.count++
	w.slots <- struct{}{}
	w.tasks.Go(func() {
		defer func() { <-w.slots }()
		defer w.pool.put(chunks)
		if err := w.store(v, s, chunks); err != nil {
			w.fail(err)
		}
	})
	return nil
}

// store sends one part, the same bytes again and again, until the store has it; a
// small volume all at once.
func (w *partWriter) store(v *volume, s *sent, chunks [][]byte) error {
	body := store.Chunks(chunks)
	if w.md5 {
		h := md5.New()
		if _, err := io.Copy(h, body.Reader()); err != nil {
			return coffer.E(coffer.KindInternal, "sum a part", "%w", err)
		}
		s.md5 = hex.EncodeToString(h.Sum(nil))
	}
	if v.whole {
		s.part.SHA256 = body.SHA256()
		return w.put(v, slices.Concat(chunks...))
	}
	i, off := s.part.Index, s.part.Offset
	return again(w.ctx, w.pol, "store a part", func(ctx context.Context) error {
		got, err := w.st.Part(ctx, v.upload, i, off, body)
		if err != nil {
			return coffer.E(coffer.KindOf(err), "", "object %s, part %d: %w", v.name, i, err).WithHint("%s", coffer.HintOf(err))
		}
		if got.Size != body.Size() || got.SHA256 != "" && got.SHA256 != body.SHA256() {
			return coffer.E(coffer.KindUnavailable, "", "object %s, part %d: the store took something else", v.name, i)
		}
		got.Index, got.Offset, got.SHA256 = i, off, body.SHA256()
		s.part = got
		w.stored.Add(got.Size)
		return nil
	})
}
