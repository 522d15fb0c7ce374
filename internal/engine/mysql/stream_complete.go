package mysql

import (
	"bytes"
	"encoding/binary"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
)

// A backup is of the tables that its definitions tell of: the .frm files, which the
// tool copies last, while no DDL runs. DDL in the run can cost it the rest of a table
// without a word in its log: of a table that was made under the name of another, or
// filled by IMPORT TABLESPACE, the definition alone may have come.

// The engines' numbers in a definition.
const (
	frmMyISAM    = 9
	frmInnoDB    = 12
	frmPartition = 20
	frmAria      = 42
)

// definition is what a .frm says of the files that belong to its table.
type definition struct {
	engine      byte
	partitioned bool
}

// define remembers a finished definition.
func (k *streamKnown) define(f *streamFile) {
	if k.defs == nil {
		k.defs = make(map[string]definition)
	}
	name := strings.TrimSuffix(f.name, ".frm")
	if len(f.body) <= 61 { // a view
		k.defs[name] = definition{}
		return
	}
	d := definition{engine: f.body[3]}
	if d.engine == frmPartition {
		d = definition{f.body[61], true}
	}
	k.defs[name] = d
}

// removeFolder follows the order to remove what may be a folder: the tool gives it at
// its end for each database that was dropped meanwhile. Definitions are copied after
// the last DDL. If there are some, the database was made again, and the tool removes
// its new tables with its old ones.
func (s *stream) removeFolder(name string) error {
	beneath := func(file string) bool { return strings.HasPrefix(file, name+"/") }
	for table := range s.know.defs {
		if beneath(table) {
			return coffer.E(coffer.KindTool, "look for lost tables", "database %s was dropped and made again while the backup ran, and its new tables are not in it", name).
				WithHint("take the backup again while this database is not dropped")
		}
	}
	maps.DeleteFunc(s.parts.files, func(file string, _ layerFile) bool { return beneath(file) })
	maps.DeleteFunc(s.know.parts, func(table string, _ []string) bool { return beneath(table) })
	return nil
}

// defineParts remembers a table's partitions. A .par is numbers of four bytes: its
// length, a sum, how many there are, then a byte for the engine of each (filled up),
// the length of what follows, and the names, each with a zero behind it.
func (k *streamKnown) defineParts(table string, par []byte) {
	if len(par) < 16 {
		return
	}
	engines := (int64(binary.LittleEndian.Uint32(par[8:])) + 3) / 4 * 4
	if engines > int64(len(par)-16) {
		return
	}
	if k.parts == nil {
		k.parts = make(map[string][]string)
	}
	k.parts[table] = nil
	for name := range bytes.SplitSeq(par[16+engines:], []byte{0}) {
		if len(name) > 0 {
			k.parts[table] = append(k.parts[table], string(name))
		}
	}
}

// command follows an order of the stream upon a definition.
func (k *streamKnown) command(name, to string) {
	table, ok := strings.CutSuffix(name, ".frm")
	d, known := k.defs[table]
	if !ok || !known {
		return
	}
	delete(k.defs, table)
	if to, ok := strings.CutSuffix(to, ".frm"); ok {
		k.defs[to] = d
	}
}

// lost is a table that a backup defines and lacks files of.
type lost struct {
	table  string // "shop/orders"
	file   string // the first that lacks, without extension: "shop/orders#P#p0"
	innodb bool
	exts   []string // of the files that every such table has
}

// incomplete gives the tables of which files are lacking, in order. It answers after
// finish.
func (s *stream) incomplete() (all []lost) {
	have := s.partitions()
	for _, table := range slices.Sorted(maps.Keys(s.know.defs)) {
		d := s.know.defs[table]
		if strings.HasPrefix(path.Base(table), "#sql") { // an ALTER's work
			continue
		}
		if d.engine != frmMyISAM && d.engine != frmInnoDB && d.engine != frmAria {
			continue
		}
		if !d.partitioned {
			if l := d.lost(table, table); !s.has(l) {
				all = append(all, l)
			}
			continue
		}
		if d.engine != frmInnoDB {
			continue // not proven
		}
		for _, p := range s.know.parts[table] {
			if !have[partition(table, p)] {
				all = append(all, d.lost(table, table+"#P#"+p))
				break
			}
		}
	}
	return all
}

func (d definition) lost(table, file string) lost {
	l := lost{table: table, file: file, innodb: d.engine == frmInnoDB, exts: []string{".ibd"}}
	switch d.engine {
	case frmMyISAM:
		l.exts = []string{".MYI", ".MYD"}
	case frmAria:
		l.exts = []string{".MAI", ".MAD"}
	}
	return l
}

func (s *stream) has(l lost) bool {
	if l.innodb {
		_, ok := s.final[l.file]
		return ok
	}
	for _, ext := range l.exts {
		if !s.seen.has(l.file + ext) {
			return false
		}
	}
	return true
}

// partitions are those of which there is a tablespace, with all that they are part of.
func (s *stream) partitions() map[string]bool {
	have := make(map[string]bool)
	for name := range s.final {
		i := strings.Index(strings.ToLower(name), "#p#")
		if i < 0 {
			continue
		}
		for p := range strings.SplitSeq(strings.ToLower(name[i+3:]), "#sp#") {
			have[partition(name[:i], p)] = true
		}
	}
	return have
}
