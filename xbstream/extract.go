package xbstream

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"github.com/cofferdb/coffer"
)

const opExtract = "extract the xbstream"

const (
	pieceSize = 128 << 10 // bytes handed to a writer at once; more at a time costs the kernel more CPU per byte
	pieces    = 16        // in flight: the whole of Extract's memory
	maxDirs   = 4096      // folders remembered as made
)

// ExtractOptions say how [Extract] writes. The zero value is good.
type ExtractOptions struct {
	Writers  int   // files' bytes are written by so many goroutines; 0 is 4
	MaxBytes int64 // refuse a stream that holds more; 0 is no limit
	Sparse   bool  // leave holes where a file is zero
}

// Extract writes the files of the stream r below root, which should be empty, and
// carries out the stream's orders. Files get mode 0600 and folders 0700. Reading
// and checking go on while writers write, several files at once; the memory is 16
// MiB. On an error what has been written stays: the caller empties the folder.
//
// As with the stock tool, an order for a file that is not there is no error.
func Extract(ctx context.Context, r io.Reader, root *os.Root, o ExtractOptions) error {
	if o.Writers <= 0 {
		o.Writers = 4
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := &extractor{
		ctx: ctx, cancel: cancel, r: NewReader(r), root: root, o: o,
		open: make(map[string]*output), dirs: make(map[string]bool),
		free: make(chan *piece, pieces), full: make(chan *piece, pieces),
	}
	for range pieces {
		x.free <- new(piece)
	}
	var writers sync.WaitGroup
	for range o.Writers {
		writers.Go(x.write)
	}
	err := x.read()
	close(x.full)
	writers.Wait()
	for _, f := range x.open {
		f.file.Close()
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return coffer.Wrap(opExtract, err)
}

// extractor is one run of Extract. Its life is that call, so it holds the context.
type extractor struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	r      *Reader
	root   *os.Root
	o      ExtractOptions
	open   map[string]*output
	dirs   map[string]bool
	total  int64
	cur    *piece // being filled
	free   chan *piece
	full   chan *piece
}

// read goes through the stream and hands its data to the writers.
func (x *extractor) read() error {
	for {
		c, err := x.r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = x.chunk(c)
		}
		if err != nil {
			return err
		}
	}
}

func (x *extractor) chunk(c Chunk) error {
	switch c.Type {
	case Rename, Remove:
		return x.order(c)
	case Seek, Data, End:
	}
	f, err := x.output(c)
	if err != nil {
		return err
	}
	switch c.Type {
	case Data:
		return x.data(f, c)
	case Seek:
		f.size = c.Offset
		return x.flush()
	default:
		delete(x.open, c.Path)
		if err := x.flush(); err != nil {
			return errors.Join(err, f.file.Close())
		}
		return f.release(x.o.Sparse)
	}
}

// data moves a chunk's bytes into pieces. Small chunks of one file share a piece.
func (x *extractor) data(f *output, c Chunk) error {
	if x.total += c.Len; x.o.MaxBytes > 0 && x.total > x.o.MaxBytes {
		return coffer.E(coffer.KindCorrupt, "file "+c.Path, "the stream holds more than %d bytes", x.o.MaxBytes)
	}
	for {
		if x.cur != nil && (x.cur.f != f || x.cur.n == pieceSize) {
			if err := x.flush(); err != nil {
				return err
			}
		}
		if x.cur == nil {
			if err := x.take(f); err != nil {
				return err
			}
		}
		n, err := x.r.Read(x.cur.buf[x.cur.n:])
		x.cur.n += n
		f.size += int64(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take gets an empty piece for f.
func (x *extractor) take(f *output) error {
	select {
	case p := <-x.free:
		if p.buf == nil {
			p.buf = make([]byte, pieceSize)
		}
		p.f, p.n, p.off = f, 0, f.size
		x.cur = p
		return nil
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
}

// flush hands the present piece to the writers. It never waits: there is room for
// every piece.
func (x *extractor) flush() error {
	if x.cur != nil {
		x.cur.f.refs.Add(1)
		x.full <- x.cur
		x.cur = nil
	}
	if x.ctx.Err() != nil {
		return context.Cause(x.ctx)
	}
	return nil
}

// output gives the file that a chunk belongs to, made by its first chunk.
func (x *extractor) output(c Chunk) (*output, error) {
	if f := x.open[c.Path]; f != nil {
		return f, nil
	}
	if err := x.mkdir(c.Path); err != nil {
		return nil, err
	}
	if c.Flags&Rewrite != 0 {
		if err := x.root.Remove(c.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, classed(err)
		}
	}
	file, err := x.root.OpenFile(c.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, classed(err)
	}
	f := &output{file: file}
	f.refs.Store(1)
	x.open[c.Path] = f
	return f, nil
}

func (x *extractor) mkdir(name string) error {
	dir := path.Dir(name)
	if dir == "." || x.dirs[dir] {
		return nil
	}
	if err := x.root.MkdirAll(dir, 0o700); err != nil {
		return classed(err)
	}
	if len(x.dirs) >= maxDirs {
		clear(x.dirs)
	}
	x.dirs[dir] = true
	return nil
}

// order renames or removes a regular file that was sent before, or removes a folder
// with all that is in it.
func (x *extractor) order(c Chunk) error {
	info, err := x.root.Lstat(c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return classed(err)
	}
	if info.IsDir() && c.Type == Remove {
		clear(x.dirs)
		return classed(x.root.RemoveAll(c.Path))
	}
	if !info.Mode().IsRegular() {
		return c.bad("an order for something that is not a file")
	}
	if c.Type == Remove {
		return classed(x.root.Remove(c.Path))
	}
	if err := x.mkdir(c.To); err != nil {
		return err
	}
	return classed(x.root.Rename(c.Path, c.To))
}

// classed gives a file system's refusal its kind: names that contradict each
// other are the stream's fault, a full disk is the target's.
func classed(err error) error {
	kind, hint := coffer.KindInternal, ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind, hint = coffer.KindNoSpace, "free space where the files go, or choose another folder"
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTEMPTY):
		kind = coffer.KindCorrupt
	}
	return &coffer.Error{Kind: kind, Op: "write a file", Err: err, Hint: hint}
}
