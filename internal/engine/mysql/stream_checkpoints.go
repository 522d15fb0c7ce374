package mysql

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// checkpoints is the content of xtrabackup_checkpoints.
type checkpoints struct {
	kind           string // "full-backuped", "incremental", "log-applied"
	from, to, last uint64
}

// parsePairs reads lines of "key = value". Lines without "=" are skipped.
func parsePairs(b []byte) map[string]string {
	pairs := make(map[string]string)
	for line := range bytes.Lines(b) {
		key, value, ok := strings.Cut(string(line), "=")
		if ok {
			pairs[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return pairs
}

func parseCheckpoints(b []byte) (checkpoints, error) {
	pairs := parsePairs(b)
	c := checkpoints{kind: pairs["backup_type"]}
	for key, at := range map[string]*uint64{"from_lsn": &c.from, "to_lsn": &c.to, "last_lsn": &c.last} {
		n, err := strconv.ParseUint(pairs[key], 10, 64)
		if err != nil {
			return checkpoints{}, coffer.E(coffer.KindTool, "file "+checkpointsFile, "%s is no number: %q", key, pairs[key])
		}
		*at = n
	}
	return c, nil
}

// release lets go of xtrabackup_checkpoints at its end: judged, and rewritten
// where the stock prepare would otherwise refuse the increment.
func (s *stream) release(f *streamFile) error {
	c, err := parseCheckpoints(f.body)
	if err != nil {
		return err
	}
	if err := s.judge(c); err != nil {
		return err
	}
	s.know.checkpoints = &c
	if !s.base.Full() && s.asked != s.base.Position.To {
		f.body = rewriteFrom(f.body, s.base.Position.To)
	}
	f.size, f.chunks = 0, nil
	head := xbstream.Chunk{
		Type: xbstream.Data, Flags: f.flags, Path: f.name,
		Len: int64(len(f.body)), Sum: crc32.ChecksumIEEE(f.body),
	}
	if err := s.emit(xbstream.AppendHeader(nil, head)); err != nil {
		return err
	}
	f.chunks = []engine.Chunk{{Len: head.Len, Plain: s.plain}}
	f.size = head.Len
	return s.emit(f.body)
}

// judge compares what the tool says it did with what it was asked to do, before
// anything is rewritten.
func (s *stream) judge(c checkpoints) error {
	op := "file " + checkpointsFile
	parent := s.base.Position
	switch {
	case s.base.Full() && (c.kind != "full-backuped" || c.from != 0):
		return coffer.E(coffer.KindTool, op, "asked for a full backup, the tool made %q from LSN %d", c.kind, c.from)
	case s.base.Full():
		return nil
	case c.kind != "incremental" || c.from != s.asked:
		return coffer.E(coffer.KindTool, op, "asked for an increment from LSN %d, the tool made %q from LSN %d", s.asked, c.kind, c.from)
	case parent.RedoStart != 0 && c.from > parent.RedoStart, c.from > parent.To:
		return coffer.E(coffer.KindNeedFull, op, "the increment starts at LSN %d, behind its parent's redo start %d or end %d",
			c.from, parent.RedoStart, parent.To).WithHint("take a full backup")
	case c.to < parent.To:
		return coffer.E(coffer.KindNeedFull, op, "the server is at LSN %d, its parent backup at %d: not the same history",
			c.to, parent.To).WithHint("take a full backup")
	}
	return nil
}

// rewriteFrom puts another from_lsn into the file and leaves the rest as it is.
func rewriteFrom(b []byte, from uint64) []byte {
	var out []byte
	for line := range bytes.Lines(b) {
		if key, _, ok := strings.Cut(string(line), "="); ok && strings.TrimSpace(key) == "from_lsn" {
			out = fmt.Appendf(out, "from_lsn = %d\n", from)
			continue
		}
		out = append(out, line...)
	}
	return out
}
