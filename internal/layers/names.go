package layers

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// part is one tablespace, or one file of the system tablespace, in one layer: a
// whole file or a delta.
type part struct {
	id    uint32
	file  *file
	whole bool
	born  bool // its first page was written
}

// settle gives each tablespace of the layer its name at the layer's end: first
// what was dropped, then all renames at once (swaps occur), then what was made
// while the backup ran. system are the names of the system tablespace's files.
func (l *layer) settle(system []string) (map[string]part, error) {
	parts, err := l.collect(system)
	if err != nil {
		return nil, err
	}
	for _, name := range l.names(engine.KindDel) {
		delete(parts, strings.TrimSuffix(name, ".del")+".ibd")
	}
	moved := make(map[string]part)
	for _, name := range l.names(engine.KindRen) {
		to, err := l.newName(l.files[name])
		if err != nil {
			return nil, err
		}
		from := strings.TrimSuffix(name, ".ren") + ".ibd"
		p, ok := parts[from]
		if !ok {
			continue
		}
		delete(parts, from)
		if _, twice := moved[to+".ibd"]; twice {
			return nil, l.bad(name, "two tablespaces are renamed to %s", to)
		}
		moved[to+".ibd"] = p
	}
	for name, p := range moved {
		if _, taken := parts[name]; taken {
			return nil, l.bad(name, "a tablespace is renamed to it, and another has that name")
		}
		parts[name] = p
	}
	for _, name := range l.names(engine.KindNew) {
		f := l.files[name]
		parts[strings.TrimSuffix(name, ".new")+".ibd"] = wholePart(f)
	}
	return parts, l.unique(parts, system)
}

func wholePart(f *file) part {
	p := part{file: f, whole: true, born: f.Page0}
	if f.Space != nil {
		p.id = *f.Space
	}
	return p
}

// collect joins the deltas with what describes them.
func (l *layer) collect(system []string) (map[string]part, error) {
	parts := make(map[string]part)
	for name, f := range l.files {
		switch f.Kind {
		case engine.KindSpace:
			p := wholePart(f)
			p.born = p.born || slices.Contains(system, name)
			parts[name] = p
		case engine.KindDelta:
			base := strings.TrimSuffix(name, ".delta")
			m := l.files[base+".meta"]
			if m == nil || m.Space == nil {
				return nil, l.bad(name, "a delta without its .meta")
			}
			if m.PageSize != f.PageSize {
				return nil, l.bad(name, "its pages are of %d bytes, its .meta says %d", f.PageSize, m.PageSize)
			}
			if _, both := l.files[base]; both {
				return nil, l.bad(name, "a delta beside the whole file")
			}
			parts[base] = part{id: *m.Space, file: f}
		case engine.KindMeta:
			if l.files[strings.TrimSuffix(name, ".meta")+".delta"] == nil {
				return nil, l.bad(name, "a .meta without its delta")
			}
		}
	}
	return parts, nil
}

// unique refuses two tablespaces of one id.
func (l *layer) unique(parts map[string]part, system []string) error {
	ids := make(map[uint32]string)
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		p := parts[name]
		if p.id == 0 && (slices.Contains(system, name) || p.whole && !p.born) {
			continue
		}
		if other, ok := ids[p.id]; ok {
			return l.bad(name, "it and %s are both tablespace %d", other, p.id)
		}
		ids[p.id] = name
	}
	return nil
}

func (l *layer) names(kind engine.EntryKind) []string {
	var out []string
	for name, f := range l.files {
		if f.Kind == kind {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// others are the files that are no part of a tablespace.
func (l *layer) others() ([]*file, error) {
	var out []*file
	for name, f := range l.files {
		if f.Kind != engine.KindFile {
			continue
		}
		if strings.HasPrefix(name, "#rocksdb/") {
			return nil, coffer.E(coffer.KindUnsupported, "file "+name, "tables of MyRocks are not joined")
		}
		switch path.Ext(name) {
		case ".isl":
			return nil, coffer.E(coffer.KindUnsupported, "file "+name, "the table has a DATA DIRECTORY of its own")
		case ".qp", ".xbcrypt":
			return nil, coffer.E(coffer.KindUnsupported, "file "+name, "compressed or encrypted by the tool")
		}
		out = append(out, f)
	}
	return out, nil
}
