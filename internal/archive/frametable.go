package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"iter"
	"sort"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// recordSize is of one frame in the table: where its plain bytes end, where its
// stored bytes end.
const recordSize = 16

// buildTable reads the frame lines of an index into the table and holds them to
// the manifest.
func (a *Archive) buildTable(t *indexFile, lines iter.Seq2[[]byte, error]) error {
	out := bufio.NewWriter(spoolWriter{t.table})
	var plain, stored int64
	headed := false
	for line, err := range lines {
		if err != nil {
			return err
		}
		if !headed {
			if err := a.checkHeadLine(line); err != nil {
				return err
			}
			headed = true
			continue
		}
		if !bytes.HasPrefix(line, []byte(framesPrefix)) {
			continue
		}
		frames, err := parseFrames(line)
		if err != nil {
			return err
		}
		for _, f := range frames {
			plain, stored = plain+f.Plain, stored+f.Stored
			var rec [recordSize]byte
			binary.BigEndian.PutUint64(rec[:8], uint64(plain))
			binary.BigEndian.PutUint64(rec[8:], uint64(stored))
			if _, err := out.Write(rec[:]); err != nil {
				return err
			}
		}
		t.count += int64(len(frames))
	}
	if !headed || t.count != a.m.Frames || plain != a.m.Sizes.Plain || !a.m.Encrypted() && stored != a.m.DataBytes() {
		return coffer.E(coffer.KindCorrupt, "", "its frame table does not fit the manifest")
	}
	return out.Flush()
}

func (a *Archive) checkHeadLine(line []byte) error {
	var h indexHead
	if err := json.Unmarshal(line, &h); err != nil || h.Index != IndexFormat || h.Backup != a.m.Backup {
		return coffer.E(coffer.KindCorrupt, "", "it is no %s of backup %s", IndexFormat, a.m.Backup)
	}
	return nil
}

// parseFrames reads one line of the frame table.
func parseFrames(line []byte) ([]codec.Frame, error) {
	var l framesLine
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, coffer.E(coffer.KindCorrupt, "read the frame table", "%w", err)
	}
	frames := make([]codec.Frame, len(l.Frames))
	for i, f := range l.Frames {
		if f[0] < 0 || f[0] > codec.FrameSize || f[1] <= 0 || f[1] > 2*codec.FrameSize {
			return nil, coffer.E(coffer.KindCorrupt, "read the frame table", "a frame of %d plain and %d stored bytes", f[0], f[1])
		}
		frames[i] = codec.Frame{Plain: f[0], Stored: f[1]}
	}
	return frames, nil
}

// frames yields the frame table in order. It ends early, and the stream's reader
// then fails, if the spool cannot be read.
func (t *indexFile) frames() iter.Seq[codec.Frame] {
	return func(yield func(codec.Frame) bool) {
		r := bufio.NewReader(io.NewSectionReader(t.table, 0, t.count*recordSize))
		var rec [recordSize]byte
		var plain, stored int64
		for {
			if _, err := io.ReadFull(r, rec[:]); err != nil {
				return
			}
			p, s := int64(binary.BigEndian.Uint64(rec[:8])), int64(binary.BigEndian.Uint64(rec[8:]))
			if !yield(codec.Frame{Plain: p - plain, Stored: s - stored}) {
				return
			}
			plain, stored = p, s
		}
	}
}

// ends gives where frame i's plain and stored bytes end; -1 is before the first.
func (t *indexFile) ends(i int64) (bounds, error) {
	if i < 0 {
		return bounds{}, nil
	}
	var rec [recordSize]byte
	if _, err := t.table.ReadAt(rec[:], i*recordSize); err != nil {
		return bounds{}, coffer.E(coffer.KindInternal, "read the spool", "%w", err)
	}
	return bounds{int64(binary.BigEndian.Uint64(rec[:8])), int64(binary.BigEndian.Uint64(rec[8:]))}, nil
}

// find is the first frame that holds bytes behind plain offset off. Ours are all of
// one length, but for the last; others are searched for.
func (t *indexFile) find(off int64) (int64, error) {
	if i := off / codec.FrameSize; i < t.count {
		from, err := t.ends(i - 1)
		if err != nil {
			return 0, err
		}
		to, err := t.ends(i)
		if err != nil || from.plain <= off && off < to.plain {
			return i, err
		}
	}
	var err error
	n := sort.Search(int(t.count), func(i int) bool {
		end, e := t.ends(int64(i))
		if e != nil {
			err = e
		}
		return end.plain > off
	})
	return int64(n), err
}
