package mysql

import (
	"encoding/binary"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/layers"
)

// streamInfo is what a finished stream has told.
type streamInfo struct {
	From, To, Last uint64 // the true ones, whatever the stored file says
	RedoStart      uint64 // 0: not known, so nothing can be merged onto this
	DataFilePath   string
	PageSize       int
	UndoSpaces     int
	GTID           string
	BinlogFile     string
	BinlogOffset   uint64
	ToolVersion    string
	ServerVersion  string
	Summary        []byte
	Links          []string // tables with a DATA DIRECTORY, which no restore takes: the first few
	Plain          int64    // bytes passed to the sink
	Slave          []byte   // what the tool says of a replica's source
	PageLists      bool     // the index lists the pages of every delta
	MergeOnly      string   // why the stock tool would lose a table of it
}

// streamKnown gathers, while the stream passes, what streamInfo is made of.
type streamKnown struct {
	checkpoints           *checkpoints
	info, options, binlog []byte
	redo                  []byte                // the first bytes of the redo log
	slave                 []byte                // a replica's place in its source's history
	defs                  map[string]definition // of every table, by its name
	parts                 map[string][]string   // its partitions
	links                 []string
	unlisted              bool // the pages of some delta are not in the index
}

const maxLinks = 16

// learn takes from a finished file what finish needs.
func (s *stream) learn(f *streamFile) error {
	switch f.name {
	case infoFile:
		s.know.info = f.body
	case optionsFile:
		s.know.options = f.body
	case binlogFile:
		s.know.binlog = f.body
	case s.dialect.redo:
		s.know.redo = f.body
	case slaveFile:
		s.know.slave = f.body
	}
	switch path.Ext(f.name) {
	case ".meta":
		if m, err := parseMeta(f.body); err == nil {
			s.blocks[strings.TrimSuffix(f.name, ".meta")] = m
		}
	case ".frm":
		s.know.define(f)
	case ".par":
		s.know.defineParts(strings.TrimSuffix(f.name, ".par"), f.body)
	case ".isl":
		if len(s.know.links) < maxLinks {
			s.know.links = append(s.know.links, strings.TrimSuffix(f.name, ".isl"))
		}
	}
	return s.parts.add(f)
}

// finish says whether the stream is a whole backup, and what it has told.
func (s *stream) finish() (streamInfo, error) {
	if err := s.ended(); err != nil {
		return streamInfo{}, err
	}
	for name, got := range map[string]bool{
		checkpointsFile: s.know.checkpoints != nil, s.dialect.redo: s.know.redo != nil,
		infoFile: s.know.info != nil, optionsFile: s.know.options != nil,
	} {
		if !got {
			return streamInfo{}, lacks(name)
		}
	}
	info := streamInfo{
		From: s.know.checkpoints.from, To: s.know.checkpoints.to, Last: s.know.checkpoints.last,
		Plain: s.plain, Links: s.know.links, Slave: s.know.slave, PageLists: !s.know.unlisted && !s.dialect.percona,
	}
	if err := info.fill(&s.know); err != nil {
		return streamInfo{}, err
	}
	if err := s.checkSystem(info); err != nil {
		return streamInfo{}, err
	}
	if err := s.checkShape(info); err != nil {
		return streamInfo{}, err
	}
	var err error
	info.Summary, info.MergeOnly, err = s.settle(info)
	return info, err
}

// ended says whether the stream stopped where one may.
func (s *stream) ended() error {
	if s.err != nil {
		return s.err
	}
	if len(s.head) > 0 || s.left > 0 {
		return coffer.E(coffer.KindTool, opStream, "the tool's output ends inside a chunk")
	}
	if err := s.order.End(); err != nil {
		return coffer.E(coffer.KindTool, opStream, "%w", err)
	}
	return nil
}

// settle gives the tablespaces their names in the end, and compares them with the
// chain. What the stock tool would lose is let pass if a merge restores the chain.
func (s *stream) settle(i streamInfo) (summary []byte, mergeOnly string, err error) {
	if s.bad != nil {
		return nil, "", s.bad
	}
	if !s.base.Full() && len(s.base.Summary) == 0 {
		return nil, "", needFull("the parent's summary is missing")
	}
	if s.final, mergeOnly, err = s.parts.resolve(s.parent); err != nil {
		return nil, "", err
	}
	merges := s.merges(i)
	if mergeOnly != "" && (s.stock || !merges) {
		return nil, "", needFull("%s", mergeOnly)
	}
	if err := s.checkDropped(); err != nil {
		return nil, "", err
	}
	ids := tableIDs{before: s.before, after: s.tables}
	summary, err = mergeSummary(s.parent, s.base.Full(), merges, s.final, ids, i.RedoStart)
	return summary, mergeOnly, err
}

// merges says whether the chain, with this layer on top, can be merged.
func (s *stream) merges(i streamInfo) bool {
	own := coffer.Position{
		From: i.From, To: i.To, RedoStart: i.RedoStart, PageSize: i.PageSize, DataFilePath: i.DataFilePath,
		UndoSpaces: i.UndoSpaces, ServerVersion: i.ServerVersion, PageLists: i.PageLists,
	}
	if s.base.Full() {
		return coffer.Mergeable([]coffer.Position{own}) == nil
	}
	return s.parent.merges && coffer.Mergeable([]coffer.Position{s.base.Position, own}) == nil
}

func lacks(name string) error {
	return coffer.E(coffer.KindTool, opStream, "the tool's output lacks %s", name).
		WithHint("the backup is not usable; look at the tool's log")
}

// fill reads the control files.
func (i *streamInfo) fill(k *streamKnown) error {
	if len(k.redo) >= 16 && string(k.redo[:4]) == "Phys" {
		i.RedoStart = binary.BigEndian.Uint64(k.redo[8:])
	}
	if i.RedoStart > i.To {
		return coffer.E(coffer.KindTool, "file "+redoFile, "it starts at LSN %d, behind the backup's end %d", i.RedoStart, i.To)
	}
	options := parsePairs(k.options)
	i.DataFilePath = options["innodb_data_file_path"]
	if i.DataFilePath == "" {
		return coffer.E(coffer.KindTool, "file "+optionsFile, "innodb_data_file_path is missing")
	}
	for key, at := range map[string]*int{"innodb_page_size": &i.PageSize, "innodb_undo_tablespaces": &i.UndoSpaces} {
		n, err := strconv.Atoi(options[key])
		if err != nil || n < 0 {
			return coffer.E(coffer.KindTool, "file "+optionsFile, "%s is no number: %q", key, options[key])
		}
		*at = n
	}
	info := parsePairs(k.info)
	i.ToolVersion, i.ServerVersion = info["tool_version"], info["server_version"]
	return i.binlog(k.binlog, info["binlog_pos"])
}

// binlogPos is how xtrabackup_info gives the position.
var binlogPos = regexp.MustCompile(`^filename '([^']*)', position '(\d+)'(?:, GTID of the last change '([^']*)')?`)

// binlog reads the position from the file of its own, else from the info. Neither
// has one on a server without a binary log.
func (i *streamInfo) binlog(own []byte, info string) error {
	name, offset, gtid := "", "", ""
	if f := strings.Split(strings.TrimRight(string(own), "\n"), "\t"); len(f) >= 2 {
		name, offset = f[0], f[1]
		if len(f) > 2 {
			gtid = f[2]
		}
	} else if m := binlogPos.FindStringSubmatch(info); m != nil {
		name, offset, gtid = m[1], m[2], m[3]
	} else {
		return nil
	}
	n, err := strconv.ParseUint(offset, 10, 64)
	if err != nil {
		return coffer.E(coffer.KindTool, "file "+binlogFile, "no position: %q", offset)
	}
	i.BinlogFile, i.BinlogOffset, i.GTID = name, n, strings.Join(strings.Fields(gtid), "")
	return nil
}

// checkSystem looks for the system and undo tablespaces: whole in a full, as
// deltas or whole in an increment.
func (s *stream) checkSystem(i streamInfo) error {
	names, err := layers.SystemFiles(i.DataFilePath)
	if err != nil {
		return err
	}
	for n := range i.UndoSpaces {
		names = append(names, s.dialect.undo(n+1))
	}
	for _, name := range names {
		whole, delta := s.seen.has(name), s.seen.has(name+".delta") && s.seen.has(name+".meta")
		if !whole && (s.base.Full() || !delta) {
			return lacks(name)
		}
	}
	return nil
}

// checkShape refuses an increment of a server that was given other tablespaces
// since its parent: the tool's prepare knows those of one layer only. Probe sees
// this first; here it is what the stream itself says.
func (s *stream) checkShape(i streamInfo) error {
	was := s.base.Position
	switch {
	case s.base.Full() || was.PageSize == 0: // not known of an imported parent
		return nil
	case i.PageSize != was.PageSize:
		return needFull("innodb_page_size is %d, and was %d", i.PageSize, was.PageSize)
	case i.DataFilePath != was.DataFilePath:
		return needFull("innodb_data_file_path is %q, and was %q", i.DataFilePath, was.DataFilePath)
	case i.UndoSpaces != was.UndoSpaces:
		return needFull("innodb_undo_tablespaces is %d, and was %d", i.UndoSpaces, was.UndoSpaces)
	}
	return nil
}

func undoName(n int) string {
	s := "00" + strconv.Itoa(n)
	return "undo" + s[len(s)-3:]
}
