package mysql

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// dumpMarks reads a dump as it passes, in bounded memory: where each database's
// sections lie, the position that it stands at, and whether it was closed. The
// tool's own marks are comments between lines of "--"; data cannot look like one,
// since the tool escapes line feeds there, and a routine's body, where it does not,
// stands between two DELIMITER lines.
type dumpMarks struct {
	plain int64  // bytes read
	begin int64  // where the present line begins
	line  []byte // its first bytes

	dashes      bool // the line before is "--"
	beforeBegin int64
	body        bool   // inside of DELIMITER
	first       string // the first line
	last        []byte // the last that is not empty

	sections     []dumpSection
	binlogFile   string
	binlogOffset uint64
	gtid         string
	replicated   map[string]replicatedGTID // by domain, of a replica's own table
	inSlavePos   bool                      // inside of that table's rows
	slavePosCut  bool                      // a line of them was too long
}

// dumpSection is one run of a database's statements; the one without a name is what
// stands before all.
type dumpSection struct {
	database string
	from     int64
}

const maxDumpLine = 512 // of a line as it is remembered: the longest mark fits

var (
	dumpBinlog = regexp.MustCompile(`^-- CHANGE MASTER TO MASTER_LOG_FILE='([^']+)', MASTER_LOG_POS=(\d+);`)
	dumpGTID   = regexp.MustCompile(`^-- SET GLOBAL gtid_slave_pos='([^']*)';`)
)

const (
	dumpDatabase = "-- Current Database: `"
	dumpClosing  = "-- Dump completed"
	opDump       = "read the dump"
)

func newDumpMarks() *dumpMarks { return &dumpMarks{sections: []dumpSection{{}}} }

// read takes the next bytes.
func (m *dumpMarks) read(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		piece := p
		if i >= 0 {
			piece = p[:i]
		}
		m.line = append(m.line, piece[:min(len(piece), maxDumpLine-len(m.line))]...)
		m.plain += int64(len(piece))
		if i < 0 {
			return
		}
		m.plain++
		m.end()
		m.line, m.begin = m.line[:0], m.plain
		p = p[i+1:]
	}
}

// end judges a whole line. Nearly all of a dump's lines are rows, and none of them is
// made a string of.
func (m *dumpMarks) end() {
	if len(m.line) > 0 {
		m.last = append(m.last[:0], m.line...)
	}
	if m.first == "" {
		m.first = string(m.line)
	}
	if !m.body && m.sections[len(m.sections)-1].database == "mysql" {
		m.replicatedRow(string(m.line))
	}
	if len(m.line) > 0 && (m.line[0] == '-' || m.line[0] == 'D') {
		m.mark(string(m.line))
	}
	m.dashes, m.beforeBegin = string(m.line) == "--", m.begin
}

// mark judges a line that may be one of the tool's marks.
func (m *dumpMarks) mark(line string) {
	switch {
	case strings.HasPrefix(line, "DELIMITER "):
		m.body = line != "DELIMITER ;"
	case m.body || !strings.HasPrefix(line, "-- "):
	case m.dashes && strings.HasPrefix(line, dumpDatabase):
		name := strings.TrimSuffix(line[len(dumpDatabase):], "`")
		m.sections = append(m.sections, dumpSection{strings.ReplaceAll(name, "``", "`"), m.beforeBegin})
	default:
		if f := dumpBinlog.FindStringSubmatch(line); f != nil && m.binlogFile == "" {
			m.binlogFile = f[1]
			m.binlogOffset, _ = strconv.ParseUint(f[2], 10, 64) // digits
		} else if f := dumpGTID.FindStringSubmatch(line); f != nil {
			m.gtid = f[1]
		}
	}
}

// whole says whether the dump was written to its end.
func (m *dumpMarks) whole() error {
	switch {
	case !strings.HasPrefix(m.first, "/*M!999999") && !strings.HasPrefix(m.first, "-- "):
		return coffer.E(coffer.KindCorrupt, opDump, "it does not begin as a dump does: %.60q", m.first)
	case !bytes.HasPrefix(m.last, []byte(dumpClosing)) || len(m.line) > 0:
		return coffer.E(coffer.KindCorrupt, opDump, "it ends without the closing line; its last: %.100q", m.last).
			WithHint("the dump is cut: take the backup again")
	case len(m.sections) == 1:
		return coffer.E(coffer.KindCorrupt, opDump, "it holds no database")
	}
	return nil
}

// holds reports whether database has a section.
func (m *dumpMarks) holds(database string) bool {
	for _, s := range m.sections[1:] {
		if s.database == database {
			return true
		}
	}
	return false
}

// entries is the table of sections for the index: one line a database, which may
// have several sections, since its views come after all tables.
func (m *dumpMarks) entries() []engine.Entry {
	var out []engine.Entry
	at := make(map[string]int)
	for i, s := range m.sections {
		to := m.plain
		if i+1 < len(m.sections) {
			to = m.sections[i+1].from
		}
		if i == 0 {
			out = append(out, engine.Entry{Name: "head", Kind: engine.KindHead, Size: to, Chunks: []engine.Chunk{{Len: to}}})
			continue
		}
		k, ok := at[s.database]
		if !ok {
			k = len(out)
			at[s.database] = k
			out = append(out, engine.Entry{Name: s.database, Kind: engine.KindDatabase})
		}
		e := &out[k]
		e.Chunks = append(e.Chunks, engine.Chunk{File: e.Size, Len: to - s.from, Plain: s.from})
		e.Size += to - s.from
	}
	return out
}
