package mysql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// keep is a sink that keeps everything.
type keep struct {
	bytes.Buffer
	entries []engine.Entry
	fail    error
}

func (k *keep) Write(p []byte) (int, error) {
	if k.fail != nil {
		return 0, k.fail
	}
	return k.Buffer.Write(p)
}

func (k *keep) Entry(e engine.Entry) error {
	k.entries = append(k.entries, e)
	return nil
}

// entry is the file of that name, not its list of pages.
func (k *keep) entry(name string) engine.Entry {
	for _, e := range k.entries {
		if e.Name == name && e.Kind != engine.KindPages {
			return e
		}
	}
	return engine.Entry{}
}

// scene writes the streams that the tool would.
type scene struct {
	t *testing.T
	bytes.Buffer
	w *xbstream.Writer
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t}
	s.w = xbstream.NewWriter(&s.Buffer)
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) file(name string, content string) *scene {
	s.must(s.w.WriteFile(name, 0, []byte(content)))
	return s
}

// whole is a tablespace of two pages.
func (s *scene) whole(name string, id uint32) *scene {
	b := make([]byte, 2*16384)
	if id != 0 {
		binary.BigEndian.PutUint32(b[34:], id)
		b[25] = 8
	}
	return s.file(name, string(b))
}

// delta is a changed tablespace with its .meta.
func (s *scene) delta(name string, id uint32, pages ...uint32) *scene {
	s.file(name+".meta", fmt.Sprintf("page_size = 16384\nzip_size = 0 \nspace_id = %d\n", id))
	b := []byte("XTRA")
	for _, p := range pages {
		b = binary.BigEndian.AppendUint32(b, p)
	}
	b = binary.BigEndian.AppendUint32(b, 0xffffffff)
	b = append(b, make([]byte, 16384-len(b)+16384*len(pages))...)
	return s.file(name+".delta", string(b))
}

// full begins a full backup, close to what the tool sends.
func full(t *testing.T) *scene {
	return newScene(t).whole("ibdata1", 0).whole("undo001", 1)
}

// increment begins an increment.
func increment(t *testing.T) *scene {
	return newScene(t).delta("ibdata1", 0).delta("undo001", 1, 0, 2)
}

const (
	fullCheckpoints = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 2000\nlast_lsn = 2100\nrecover_binlog_info = 0\n"
	incrCheckpoints = "backup_type = incremental\nfrom_lsn = 1500\nto_lsn = 3000\nlast_lsn = 3100\nrecover_binlog_info = 0\n"
	options         = "# made\n[mysqld]\ninnodb_checksum_algorithm=crc32\ninnodb_data_file_path=ibdata1:12M:autoextend\n" +
		"innodb_page_size=16384\ninnodb_undo_directory=./\ninnodb_undo_tablespaces=1\n"
	info = "tool_version = 10.11.19-MariaDB\nserver_version = 10.11.19-MariaDB-log\n" +
		"binlog_pos = filename 'bin.000001', position '42', GTID of the last change '0-7-9'\n"
)

func redo(start uint64) string {
	b := append([]byte("Phys\x00\x00\x00\x00"), binary.BigEndian.AppendUint64(nil, start)...)
	return string(append(b, make([]byte, 5000)...))
}

// closing ends the stream as the tool does.
func (s *scene) closing(checkpoints string) []byte {
	s.file("ib_logfile0", redo(1500)).file("xtrabackup_checkpoints", checkpoints)
	s.file("backup-my.cnf", options).file("xtrabackup_info", info)
	s.must(s.w.Close())
	return s.Bytes()
}

// pass sends a stream through the filter, in pieces of n bytes.
func pass(b []byte, base engine.Base, asked uint64, n int) (streamInfo, *keep, error) {
	out := new(keep)
	s := newStream(out, base, asked)
	for p := range slices.Chunk(b, n) {
		if _, err := s.Write(p); err != nil {
			return streamInfo{}, out, err
		}
	}
	i, err := s.finish()
	return i, out, err
}

// passStock is pass for a chain that only the stock tool will restore.
func passStock(b []byte, base engine.Base) (streamInfo, error) {
	s := newStream(new(keep), base, base.Position.RedoStart)
	s.stock = true
	if _, err := s.Write(b); err != nil {
		return streamInfo{}, err
	}
	return s.finish()
}

// parent is the base that a full's stream leaves.
func parent(t *testing.T, stream []byte) engine.Base {
	t.Helper()
	i, _, err := pass(stream, engine.Base{}, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Base{
		Backup: "full", Summary: i.Summary,
		Position: coffer.Position{
			To: i.To, RedoStart: i.RedoStart, Last: i.Last,
			DataFilePath: i.DataFilePath, PageSize: i.PageSize, UndoSpaces: i.UndoSpaces,
		},
	}
}

// checkEntries holds the index against the stored stream: every chunk's bytes are
// where the entry says, and the entries are all there is.
func checkEntries(t *testing.T, out *keep) {
	t.Helper()
	var names, listed []string
	for it, err := range xbstream.List(bytes.NewReader(out.Bytes())) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, it.Path)
	}
	for _, e := range out.entries {
		if e.Kind == engine.KindPages {
			continue
		}
		names = append(names, e.Name)
		var content []byte
		for _, c := range e.Chunks {
			if c.File != int64(len(content)) {
				t.Errorf("%s: chunk at %d, want %d", e.Name, c.File, len(content))
			}
			content = append(content, out.Bytes()[c.Plain:c.Plain+c.Len]...)
		}
		if int64(len(content)) != e.Size || e.Inline != nil && !bytes.Equal(e.Inline, content) {
			t.Errorf("%s: the index does not match the stream", e.Name)
		}
	}
	if d := cmp.Diff(listed, names); d != "" {
		t.Error(d)
	}
}
