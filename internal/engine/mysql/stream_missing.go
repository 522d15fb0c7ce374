package mysql

import (
	"path"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// The tool follows DDL by the redo log: what it sees removed there is dropped, and
// left out of the backup. A tablespace that ALTER TABLE … DISCARD removes and
// IMPORT puts back is in the log as removed only, so the tool leaves out a table
// that exists, and says "completed OK!". The definitions tell: they are copied
// last, while no DDL runs.

// partition is a partition's name as it is compared.
func partition(table, name string) string { return strings.ToLower(table + "#p#" + name) }

// defined reports whether the stream has the definition of the table that a
// tablespace, by its name without extension, belongs to.
func (k *streamKnown) defined(space string) bool {
	table, rest := space, ""
	if i := strings.Index(strings.ToLower(space), "#p#"); i >= 0 {
		table, rest = space[:i], strings.ToLower(space[i+3:])
	}
	if k.defs[table].engine != frmInnoDB {
		return false
	}
	if rest == "" {
		return true
	}
	for name := range strings.SplitSeq(rest, "#sp#") {
		if !slices.ContainsFunc(k.parts[table], func(p string) bool { return strings.EqualFold(p, name) }) {
			return false
		}
	}
	return true
}

// missing says whether the backup lacks a tablespace that exists, given as the
// tool's log has it: "./shop/orders.ibd". It answers after finish.
func (s *stream) missing(ibd string) bool {
	space := strings.TrimSuffix(path.Clean(ibd), ".ibd")
	_, ok := s.final[space]
	return !ok && s.know.defined(space)
}

// overtaken is the failure of a backup that lost a table over DDL: nothing is wrong with
// the server, the tool or the store, and another try may well be good.
func overtaken(op, format string, args ...any) *coffer.Error {
	return coffer.E(coffer.KindUnavailable, op, format, args...).
		WithHint("DDL ran meanwhile: take the backup again; if that happens often, at a time when less DDL runs")
}

// checkDropped refuses a backup that says of an existing table that it was dropped.
func (s *stream) checkDropped() error {
	for _, name := range s.parts.sorted(engine.KindDel) {
		if space := strings.TrimSuffix(name, ".del"); s.missing(space) {
			return overtaken("look for lost tables", "table %s was discarded while the backup ran, and is not in it", space)
		}
	}
	return nil
}
