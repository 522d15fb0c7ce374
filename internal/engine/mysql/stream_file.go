package mysql

import (
	"encoding/binary"
	"hash/maphash"
	"path"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// The control files of a backup, by their names in the stream.
const (
	checkpointsFile = "xtrabackup_checkpoints"
	infoFile        = "xtrabackup_info"
	binlogFile      = "xtrabackup_binlog_info"
	slaveFile       = "xtrabackup_slave_info"
	optionsFile     = "backup-my.cnf"
	redoFile        = "ib_logfile0"
)

const (
	maxControl = 64 << 10 // bytes of a control file that is kept whole
	maxPar     = 4 << 20  // bytes of a .par, the list of a table's partitions: at most 8192
	firstBytes = 64       // of every other file: enough for what its first page says
)

// streamFile is one file of the stream while its chunks pass.
type streamFile struct {
	name   string
	kind   engine.EntryKind
	flags  byte
	size   int64
	chunks []engine.Chunk
	limit  int    // body is to be the whole content, of so many bytes at most; 0: the first bytes do
	inline bool   // and to be in the index
	held   bool   // nothing of it is passed on before its end
	body   []byte // the first bytes, or the whole content
	pages  *deltaPages
	plain  bool // its pages are not read: they are of a kind that no merge here knows
}

// fileOf gives the file that a chunk belongs to, begun by its first chunk.
func (s *stream) fileOf(c xbstream.Chunk) (*streamFile, error) {
	if f := s.open[c.Path]; f != nil {
		return f, nil
	}
	again := s.seen.add(c.Path)
	if again && c.Path == checkpointsFile {
		return nil, coffer.E(coffer.KindTool, "file "+c.Path, "the tool sent it twice")
	}
	if again && c.Flags&xbstream.Rewrite == 0 {
		return nil, coffer.E(coffer.KindTool, "file "+c.Path, "the tool sent it twice, without saying that it replaces the first")
	}
	f := &streamFile{name: c.Path, kind: kindOf(c.Path), flags: c.Flags, held: c.Path == checkpointsFile && !s.again}
	switch c.Path {
	case checkpointsFile, binlogFile, optionsFile, slaveFile, "xtrabackup_galera_info":
		f.limit, f.inline = maxControl, true
	case infoFile: // it holds the tool's command line: not for the index
		f.limit = maxControl
	}
	if path.Ext(c.Path) == ".par" {
		f.limit = maxPar
	}
	switch f.kind {
	case engine.KindMeta, engine.KindRen, engine.KindDel:
		f.limit, f.inline = maxControl, true
	}
	f.plain = s.dialect.percona
	if f.kind == engine.KindDelta && !f.plain {
		base := strings.TrimSuffix(f.name, ".delta")
		f.pages = s.deltaOf(base)
		delete(s.blocks, base)
	}
	s.open[c.Path] = f
	return f, nil
}

// deltaOf begins the pages of a tablespace's delta. Those of a tablespace that is
// known, but not with its pages, are not followed, and neither are those of an undo
// tablespace, which the server makes anew under the same id.
func (s *stream) deltaOf(base string) *deltaPages {
	m := s.blocks[base]
	d := &deltaPages{size: m.page}
	was, known := s.parent.byID[m.space]
	if m.space != 0 && !isUndo(base) && (!known || was.held.Count() > 0) {
		d.space = &spacePages{page: s.base.Position.PageSize, held: was.held}
	}
	return d
}

// chunk notes that the next n bytes of the file stand at plain.
func (f *streamFile) chunk(plain, n int64) {
	if n > 0 {
		f.chunks = append(f.chunks, engine.Chunk{File: f.size, Len: n, Plain: plain})
	}
}

// take keeps of p what has to be kept.
func (f *streamFile) take(p []byte) error {
	f.size += int64(len(p))
	if f.pages != nil {
		f.pages.take(p)
	}
	if f.limit == 0 {
		f.body = append(f.body, p[:min(len(p), max(0, firstBytes-len(f.body)))]...)
		return nil
	}
	if len(f.body)+len(p) > f.limit {
		return coffer.E(coffer.KindTool, "file "+f.name, "is longer than %d bytes: not what belongs there", f.limit)
	}
	f.body = append(f.body, p...)
	return nil
}

// entry is the file's line in the index.
func (f *streamFile) entry() engine.Entry {
	e := engine.Entry{Name: f.name, Kind: f.kind, Size: f.size, Chunks: f.chunks}
	if f.inline {
		e.Inline = f.body
	}
	switch f.kind {
	case engine.KindSpace, engine.KindNew:
		if id := f.spaceID(); id != 0 || isSystem(f.name) {
			e.Space = &id
		}
		e.Page0 = e.Space != nil && f.firstPage()
		f.describe(&e)
	case engine.KindDelta:
		e.Page0 = f.lists(0)
		f.describe(&e)
	case engine.KindMeta:
		if m, err := parseMeta(f.body); err == nil {
			e.Space, e.PageSize = &m.space, m.page
		}
	}
	return e
}

// firstPage reports whether a whole tablespace's first page has been written. A
// table that was made moments ago may still be all zeros: redo rebuilds it.
func (f *streamFile) firstPage() bool {
	for _, b := range f.body {
		if b != 0 {
			return true
		}
	}
	return false
}

// spaceID is what a whole tablespace's first page says: big-endian at offset 34.
func (f *streamFile) spaceID() uint32 {
	if len(f.body) < 38 {
		return 0
	}
	return binary.BigEndian.Uint32(f.body[34:])
}

// lists reports whether a delta begins with the pages 0 to last. A delta is
// blocks of a page's size; the first is the list of the pages in the next ones,
// ascending, behind a magic.
func (f *streamFile) lists(last uint32) bool {
	for n := range last + 1 {
		at := 4 + 4*int(n)
		if len(f.body) < at+4 || binary.BigEndian.Uint32(f.body[at:]) != n {
			return false
		}
	}
	return true
}

// kindOf tells a file's kind by its name.
func kindOf(name string) engine.EntryKind {
	switch ext := path.Ext(name); ext {
	case ".delta":
		return engine.KindDelta
	case ".meta":
		return engine.KindMeta
	case ".new":
		return engine.KindNew
	case ".ren":
		return engine.KindRen
	case ".del":
		return engine.KindDel
	case ".ibd":
		return engine.KindSpace
	}
	if isSystem(name) || isUndo(name) {
		return engine.KindSpace
	}
	return engine.KindFile
}

// isSystem tells a file of the system tablespace by the name that servers are
// given by default and by custom.
func isSystem(name string) bool {
	return strings.HasPrefix(name, "ibdata") && !strings.Contains(name, "/")
}

// isUndo tells an undo tablespace: the server names them itself, but for those that
// were made by CREATE UNDO TABLESPACE.
func isUndo(name string) bool {
	if path.Ext(name) == ".ibu" {
		return true
	}
	n, ok := strings.CutPrefix(name, "undo")
	n = strings.TrimPrefix(n, "_")
	return ok && len(n) == 3 && strings.Trim(n, "0123456789") == ""
}

// nameSet remembers names by hash: eight bytes a file.
type nameSet struct {
	seed maphash.Seed
	set  map[uint64]struct{}
}

func newNameSet() nameSet {
	return nameSet{seed: maphash.MakeSeed(), set: make(map[uint64]struct{})}
}

// add reports whether name was there before.
func (n nameSet) add(name string) bool {
	h := maphash.String(n.seed, name)
	_, had := n.set[h]
	n.set[h] = struct{}{}
	return had
}

// command follows an order of the stream; an empty to removes. Like the tool's
// extractor it does nothing for a name that is not there.
func (n nameSet) command(name, to string) {
	if !n.has(name) {
		return
	}
	n.drop(name)
	if to != "" {
		n.add(to)
	}
}

func (n nameSet) drop(name string) { delete(n.set, maphash.String(n.seed, name)) }

func (n nameSet) has(name string) bool {
	_, ok := n.set[maphash.String(n.seed, name)]
	return ok
}
