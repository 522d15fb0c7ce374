package mysql

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
	"github.com/cofferdb/coffer/xbstream"
)

const (
	synthChunk   = 10 << 20 // bytes of a chunk, as the tool sends them
	synthBuffers = 3        // chunks in memory: one fills while others are sent
)

// checkpointsOfFull is xtrabackup_checkpoints as a full has it.
func checkpointsOfFull(to, last uint64) []byte {
	return fmt.Appendf(nil, "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = %d\nlast_lsn = %d\nrecover_binlog_info = 0\n", to, last)
}

// write has the plan's files written as one xbstream. Reading and joining go on while
// the sink takes the chunks before.
func (s *synthesis) write(ctx context.Context, p *layers.Plan, tell func(engine.Progress)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &bundler{ctx: ctx, links: len(s.chain), full: make(chan bundle), free: make(chan []byte, synthBuffers)}
	for range synthBuffers {
		b.free <- nil
	}
	var sender sync.WaitGroup
	sender.Go(func() {
		if err := b.send(s.stream); err != nil {
			cancel(err)
		}
	})
	opt := layers.Options{Create: b.create}
	if tell != nil {
		var done int64
		tell(engine.Progress{Phase: "merge", Total: p.Bytes()})
		opt.Progress = func(n int64) {
			done += n
			tell(engine.Progress{Phase: "merge", Plain: done, Total: p.Bytes()})
		}
	}
	err := p.WriteInOrder(ctx, opt)
	if err != nil {
		cancel(err) // the first cause stays
	}
	close(b.full)
	sender.Wait()
	return context.Cause(ctx)
}

// bundle is the next bytes of a file, or its end.
type bundle struct {
	name string
	data []byte
	end  bool
}

// bundler makes chunks of the bytes of one file after another.
type bundler struct {
	ctx   context.Context // of one synthesis
	links int
	full  chan bundle
	free  chan []byte
}

// send writes the chunks as they come. After an error it ends: who fills chunks sees
// the context.
func (b *bundler) send(to io.Writer) error {
	w := xbstream.NewWriter(to)
	for c := range b.full {
		if b.ctx.Err() != nil {
			return context.Cause(b.ctx)
		}
		if c.end {
			if err := w.CloseFile(c.name, 0); err != nil {
				return err
			}
			continue
		}
		if err := w.WriteChunk(c.name, 0, c.data); err != nil {
			return err
		}
		b.free <- c.data[:0]
	}
	return w.Close()
}

func (b *bundler) put(c bundle) error {
	select {
	case b.full <- c:
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

func (b *bundler) create(name string) (layers.File, error) {
	if name == checkpointsFile {
		return &rewritten{bundled: bundled{b: b, name: name}}, nil
	}
	return &bundled{b: b, name: name}, nil
}

// bundled is one file of the stream, written front to back. What is left out is sent
// as zeros: every extractor takes those.
type bundled struct {
	b     *bundler
	name  string
	at    int64 // where buf ends in the file
	buf   []byte
	whole bool
}

// WriteAt takes the next bytes.
func (f *bundled) WriteAt(p []byte, off int64) (int, error) {
	if err := f.zeros(off); err != nil {
		return 0, err
	}
	for rest := p; len(rest) > 0; {
		if err := f.room(); err != nil {
			return 0, err
		}
		n := min(len(rest), synthChunk-len(f.buf))
		f.buf = append(f.buf, rest[:n]...)
		f.at += int64(n)
		rest = rest[n:]
	}
	return len(p), nil
}

// room has a buffer that is not full.
func (f *bundled) room() error {
	if len(f.buf) == synthChunk {
		if err := f.flush(); err != nil {
			return err
		}
	}
	if f.buf != nil {
		return nil
	}
	select {
	case f.buf = <-f.b.free:
	case <-f.b.ctx.Done():
		return context.Cause(f.b.ctx)
	}
	if f.buf == nil {
		f.buf = make([]byte, 0, synthChunk)
	}
	return nil
}

func (f *bundled) flush() error {
	if f.buf == nil {
		return nil
	}
	buf := f.buf
	f.buf = nil
	return f.b.put(bundle{name: f.name, data: buf})
}

// zeros goes on to the offset.
func (f *bundled) zeros(to int64) error {
	if to < f.at {
		return coffer.E(coffer.KindInternal, "file "+f.name, "written back at %d, behind %d", to, f.at)
	}
	for f.at < to {
		if err := f.room(); err != nil {
			return err
		}
		n := int(min(to-f.at, int64(synthChunk-len(f.buf))))
		was := len(f.buf)
		f.buf = f.buf[:was+n]
		clear(f.buf[was:])
		f.at += int64(n)
	}
	return nil
}

// Truncate gives the file its length.
func (f *bundled) Truncate(size int64) error {
	f.whole = true
	return f.zeros(size)
}

// Close ends a file that has its length; of another nothing more is sent.
func (f *bundled) Close() error {
	if !f.whole {
		return nil
	}
	if err := f.flush(); err != nil {
		return err
	}
	return f.b.put(bundle{name: f.name, end: true})
}

// rewritten is the file that says what the backup is: a full, from now on.
type rewritten struct {
	bundled
	text []byte
}

// WriteAt keeps the link's own words.
func (f *rewritten) WriteAt(p []byte, _ int64) (int, error) {
	if len(f.text)+len(p) > maxControl {
		return 0, coffer.E(coffer.KindCorrupt, "file "+f.name, "is longer than %d bytes", maxControl)
	}
	f.text = append(f.text, p...)
	return len(p), nil
}

// Truncate puts a full's words in their place.
func (f *rewritten) Truncate(int64) error {
	text, err := fullCheckpointsOf(f.text, f.b.links)
	if err != nil {
		return err
	}
	if _, err := f.bundled.WriteAt(text, 0); err != nil {
		return err
	}
	return f.bundled.Truncate(int64(len(text)))
}
