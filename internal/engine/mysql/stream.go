package mysql

import (
	"hash/crc32"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// stream stands between the tool's standard output and the sink. It passes the
// bytes on as they come, checks every sum, tells the sink of every file at its
// end, and learns from the files what the backup must be judged by.
//
// A backup uses it so:
//
//	asked, mergeable := base.Position.Start()   // 0 for a full
//	s := newStream(out, base, asked)
//	s.before = ids                              // space → table id, asked of the server
//	... copy the tool's standard output into s (an io.Writer) ...
//	... the tool exited 0 and said its closing words ...
//	s.tables = ids                              // asked again
//	info, err := s.finish()
//
// An error of Write is the backup's end: the tool is to be ended, and the sink
// holds a stream that must not be committed. finish must be called, and return
// nil, before anything is committed: most of what makes a backup worthless is
// seen there, in finish's own order. After it, missing answers for every tablespace
// that the tool's log says it has ignored.
//
// One file is changed in passing: the xtrabackup_checkpoints of an increment that
// did not start at its parent's to_lsn. The stock prepare demands that the two
// are equal, so the file says what it wants to read; the true values are in
// streamInfo. That file is held back up to its end; all else is held back for the
// length of a chunk's header.
type stream struct {
	out    engine.Sink
	base   engine.Base
	asked  uint64
	before map[uint32]uint64 // space → table id before the tool started; nil is unknown
	tables map[uint32]uint64 // the same after it ended

	order xbstream.Order
	head  []byte // the header being read
	need  int    // bytes that it needs at least
	cur   xbstream.Chunk
	file  *streamFile // of cur, while it has data to come
	left  int64
	sum   uint32
	plain int64 // bytes passed on
	err   error // sticky

	open    map[string]*streamFile
	blocks  map[string]meta // of a delta to come, by its name: what its .meta says
	seen    nameSet         // finished files, by hash
	parts   layer           // the tablespaces of this backup and what DDL did to them
	final   map[string]part // the same by their names in the end; finish fills it
	know    streamKnown
	parent  chain   // base.Summary, read
	bad     error   // why it could not be
	stock   bool    // refuse what only a merge restores
	dialect dialect // of the tool
	again   bool    // the stream is a stored one: it is read for its index alone
}

const opStream = "follow the backup stream"

// newStream returns a stream that passes the tool's output to out. asked is the
// LSN that an increment onto base was told to start from.
func newStream(out engine.Sink, base engine.Base, asked uint64) *stream {
	parent, err := parseSummary(base.Summary)
	return &stream{
		out: out, base: base, asked: asked, need: 1, parent: parent, bad: err,
		open: make(map[string]*streamFile), blocks: make(map[string]meta), seen: newNameSet(),
		dialect: dialectOf(engine.MariaBackup), parts: newLayer(base.Full()),
	}
}

// Write takes the next bytes of the tool's output.
func (s *stream) Write(p []byte) (int, error) {
	all := len(p)
	for s.err == nil && len(p) > 0 {
		var n int
		if s.left > 0 {
			n, s.err = s.data(p)
		} else {
			n, s.err = s.header(p)
		}
		p = p[n:]
	}
	return all - len(p), s.err
}

// header gathers a chunk's header and, when it is whole, begins the chunk.
func (s *stream) header(p []byte) (int, error) {
	n := min(s.need-len(s.head), len(p))
	s.head = append(s.head, p[:n]...)
	c, need, err := xbstream.ParseHeader(s.head)
	if err != nil {
		return n, coffer.Wrap(opStream, err)
	}
	if need > len(s.head) {
		s.need = need
		return n, nil
	}
	err = s.begin(c)
	s.head, s.need = s.head[:0], 1
	return n, coffer.Wrap(opStream, err)
}

// begin acts on a chunk whose header is in s.head.
func (s *stream) begin(c xbstream.Chunk) error {
	if c.Type == xbstream.Seek {
		return unsupportedChunk(c)
	}
	if err := s.order.Add(c); err != nil {
		return err
	}
	switch c.Type {
	case xbstream.Data:
		return s.beginData(c)
	case xbstream.End:
		return s.end(c)
	case xbstream.Rename, xbstream.Remove:
		return s.command(c)
	}
	return unsupportedChunk(c)
}

// unsupportedChunk refuses a file with holes: an S of MariaDB's tool is an offset, of
// Percona's it has a map of them, and neither has a place in the index.
func unsupportedChunk(c xbstream.Chunk) error {
	return coffer.E(coffer.KindUnsupported, "file "+c.Path, "the tool sent a chunk of type %q: a file with holes", byte(c.Type)).
		WithHint("rebuild a table that the server compresses page by page without COMPRESSION; else this version of the tool is not supported")
}

func (s *stream) beginData(c xbstream.Chunk) error {
	f, err := s.fileOf(c)
	if err != nil {
		return err
	}
	s.cur, s.file, s.left, s.sum = c, f, c.Len, 0
	if f.held {
		return s.endData()
	}
	if err := s.emit(s.head); err != nil {
		return err
	}
	f.chunk(s.plain, c.Len)
	return s.endData()
}

// data passes on what of p belongs to the present chunk.
func (s *stream) data(p []byte) (int, error) {
	n := int(min(s.left, int64(len(p))))
	p = p[:n]
	s.sum = crc32.Update(s.sum, crc32.IEEETable, p)
	if err := s.file.take(p); err != nil {
		return 0, err
	}
	if !s.file.held {
		if err := s.emit(p); err != nil {
			return 0, err
		}
	}
	s.left -= int64(n)
	if err := s.listPages(s.file, false); err != nil {
		return 0, err
	}
	return n, s.endData()
}

// endData checks the sum when the chunk's data is complete.
func (s *stream) endData() error {
	if s.left == 0 && s.sum != s.cur.Sum {
		return coffer.E(coffer.KindCorrupt, opStream, "file %s: the data at offset %d does not match its sum",
			s.cur.Path, s.cur.Offset)
	}
	return nil
}

func (s *stream) emit(p []byte) error {
	n, err := s.out.Write(p)
	s.plain += int64(n)
	return coffer.Wrap("pass on the backup stream", err)
}

// end finishes a file and tells the sink of it.
func (s *stream) end(c xbstream.Chunk) error {
	f, err := s.fileOf(c)
	if err != nil {
		return err
	}
	delete(s.open, c.Path)
	if f.held {
		if err := s.release(f); err != nil {
			return err
		}
	}
	if err := s.emit(s.head); err != nil {
		return err
	}
	if err := s.learn(f); err != nil {
		return err
	}
	if err := s.listPages(f, true); err != nil {
		return err
	}
	e := f.entry()
	if e.Kind == engine.KindDelta && e.PageSize == 0 {
		s.know.unlisted = true
	}
	return coffer.Wrap("index the backup stream", s.out.Entry(e))
}

// command follows an order to rename or remove a file sent before.
func (s *stream) command(c xbstream.Chunk) error {
	if c.Path == checkpointsFile || c.To == checkpointsFile {
		return coffer.E(coffer.KindTool, "file "+checkpointsFile, "the tool renamed or removed it")
	}
	if err := s.emit(s.head); err != nil {
		return err
	}
	e := engine.Entry{Name: c.Path, To: c.To, Kind: engine.KindRemove}
	if c.Type == xbstream.Rename {
		e.Kind = engine.KindRename
	}
	if c.Type == xbstream.Remove {
		if err := s.removeFolder(c.Path); err != nil {
			return err
		}
	}
	s.seen.command(c.Path, c.To)
	s.know.command(c.Path, c.To)
	s.parts.command(c.Path, c.To)
	return coffer.Wrap("index the backup stream", s.out.Entry(e))
}
