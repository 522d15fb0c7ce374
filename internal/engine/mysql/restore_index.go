package mysql

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"iter"
	"os"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// relisted is a layer whose list of files was made anew from its stream.
type relisted struct {
	engine.Layer
	list *os.File
}

var _ engine.Layer = relisted{}

// Entries yields the list.
func (l relisted) Entries(context.Context) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) {
		const all = 1 << 62
		d := json.NewDecoder(bufio.NewReaderSize(io.NewSectionReader(l.list, 0, all), 64<<10))
		for {
			var e engine.Entry
			err := d.Decode(&e)
			if err == io.EOF || !yield(e, coffer.Wrap("read the new index", err)) || err != nil {
				return
			}
		}
	}
}

// lister is a sink that keeps the list of a stream's files, and nothing of them.
type lister struct {
	buf *bufio.Writer
	enc *json.Encoder
}

func (l lister) Write(p []byte) (int, error) { return len(p), nil }
func (l lister) Entry(e engine.Entry) error  { return l.enc.Encode(e) }

var _ engine.Sink = lister{}

// listed gives a layer with a list of its files: its own, or one that is made anew by
// reading the stream once, where the index is missing or damaged. done lets go of it.
func (r *restorer) listed(ctx context.Context, l engine.Layer) (_ engine.Layer, done func(), err error) {
	done = func() {}
	why := error(coffer.E(coffer.KindUnsupported, "read the index", "it is empty"))
	for _, err := range l.Entries(ctx) {
		if err == nil {
			return l, done, nil
		}
		why = err
		break
	}
	re, ok := l.(engine.Rebuilder)
	if !ok || !coffer.IsKind(why, coffer.KindUnsupported) {
		return l, done, nil // joining says what is wrong
	}
	f, err := spoolFile("")
	if err != nil {
		return nil, done, coffer.Wrap("make room for the index", err)
	}
	if r.target.Event != nil {
		r.target.Event(coffer.Event{
			Level: coffer.Warn, Code: "restore.reindexed", Text: "the index of backup " + string(l.Backup()) + " is made anew from its data: " + why.Error(),
		})
	}
	if err := relist(ctx, re, f); err != nil {
		f.Close()
		return nil, done, coffer.Wrap("list the files of backup "+string(l.Backup()), err)
	}
	return relisted{l, f}, func() { f.Close() }, nil
}

// relist reads a stored stream and writes its list of files.
func relist(ctx context.Context, from engine.Rebuilder, to io.Writer) error {
	out := lister{buf: bufio.NewWriter(to)}
	out.enc = json.NewEncoder(out.buf)
	s := newStream(out, engine.Base{}, 0)
	s.again = true
	if err := from.Rebuild(ctx, s); err != nil {
		return err
	}
	if err := s.ended(); err != nil {
		return err
	}
	return out.buf.Flush()
}
