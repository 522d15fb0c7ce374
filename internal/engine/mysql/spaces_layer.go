package mysql

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/xbstream"
)

// layer is the tablespaces of one backup as its stream brings them, by the names
// of the files.
type layer struct {
	full  bool
	files map[string]layerFile
}

// layerFile is a .ibd, .delta, .meta, .new, .ren or .del.
type layerFile struct {
	kind  engine.EntryKind
	id    uint32 // of a whole file (0: its first page is not written yet) or a .meta
	first bool   // a delta: the first pages are in it
	to    string // a .ren: the new name
	pages *spacePages
	bad   string // a delta that is none: a tool that gives up ends it so, and says why only then
}

// part is one tablespace of a layer after the names are settled.
type part struct {
	id          uint32
	whole       bool
	delta, meta bool
	first       bool
	pages       *spacePages // nil: nothing is known of its pages
}

func newLayer(full bool) layer {
	return layer{full: full, files: make(map[string]layerFile)}
}

// command follows an order of the stream; an empty to removes.
func (l layer) command(name, to string) {
	f, ok := l.files[name]
	delete(l.files, name)
	if ok && to != "" {
		l.files[to] = f
	}
}

// add takes a finished file, if it is one of a tablespace.
func (l layer) add(f *streamFile) error {
	lf := layerFile{kind: f.kind}
	switch f.kind {
	case engine.KindSpace, engine.KindNew:
		lf.id = f.spaceID()
		lf.pages = f.wholePages()
	case engine.KindDelta:
		lf.pages = f.deltaPages()
		if lf.first = f.lists(3); isUndo(strings.TrimSuffix(f.name, ".delta")) {
			lf.first = f.lists(0) // an undo tablespace has no use for page 1
		}
		if magic := string(f.body[:min(4, len(f.body))]); magic != "xtra" && magic != "XTRA" {
			lf.bad = fmt.Sprintf("is no delta: %d bytes that begin with %q", f.size, magic)
		}
	case engine.KindMeta:
		m, err := parseMeta(f.body)
		if err != nil {
			return coffer.Wrap("file "+f.name, err)
		}
		lf.id = m.space
	case engine.KindRen:
		lf.to = strings.TrimSuffix(strings.TrimSpace(string(f.body)), ".ibd")
		if err := xbstream.CheckPath(lf.to); err != nil {
			return coffer.Wrap("file "+f.name, err)
		}
	case engine.KindDel:
	default:
		return nil
	}
	l.files[f.name] = lf
	return nil
}

// resolve settles the names: .del first, then all of .ren at once, then .new. In an
// increment, a name that the parent, or this layer, gives to another space is more
// than the tool's prepare can do: it moves the file over the other's, or dies. Then
// lossy says so: a merge gets it right. (In a full the tool does, swaps included.)
func (l layer) resolve(parent chain) (parts map[string]part, lossy string, err error) {
	if parts, err = l.collect(); err != nil {
		return nil, "", err
	}
	if lossy, err = l.rename(parts, parent); err != nil {
		return nil, "", err
	}
	for _, name := range l.sorted(engine.KindNew) {
		f := l.files[name]
		table := strings.TrimSuffix(name, ".new")
		if other, ok := parent.byName[table]; ok && other.ID != f.id {
			lossy = fmt.Sprintf("table %s was made while the backup ran, and replaces another of that name", table)
		}
		parts[table] = part{id: f.id, whole: true, pages: f.pages}
	}
	return parts, lossy, nil
}

// collect joins the files of each tablespace and takes away what was dropped.
func (l layer) collect() (map[string]part, error) {
	parts := make(map[string]part)
	for name, f := range l.files {
		table := tableOf(name)
		if f.bad != "" {
			return nil, coffer.E(coffer.KindTool, "file "+name, "%s", f.bad)
		}
		p := parts[table]
		switch f.kind {
		case engine.KindSpace:
			p.whole, p.id, p.pages = true, f.id, f.pages
		case engine.KindDelta:
			p.delta, p.first, p.pages = true, f.first, f.pages
		case engine.KindMeta:
			p.meta, p.id = true, f.id
		default:
			continue
		}
		parts[table] = p
	}
	for _, name := range l.sorted(engine.KindDel) {
		delete(parts, strings.TrimSuffix(name, ".del"))
	}
	for table, p := range parts {
		if p.delta != p.meta || p.delta && p.whole {
			return nil, coffer.E(coffer.KindTool, opSpaces, "table %s: the stream has one of .delta and .meta without the other", table)
		}
	}
	return parts, nil
}

// rename applies the layer's .ren files, all at once.
func (l layer) rename(parts map[string]part, parent chain) (lossy string, err error) {
	moved := make(map[string]part)
	for _, name := range l.sorted(engine.KindRen) {
		from, to := strings.TrimSuffix(name, ".ren"), l.files[name].to
		p, ok := parts[from]
		if !ok {
			continue
		}
		_, taken := parts[to]
		_, twice := moved[to]
		other, known := parent.byName[to]
		if !l.full && (taken && to != from || known && other.ID != p.id) {
			lossy = fmt.Sprintf("table %s was renamed to %s while the backup ran, and that name was another table's", from, to)
		}
		if twice {
			return "", needFull("two tables were renamed to %s while the backup ran", to)
		}
		moved[to] = p
	}
	for _, name := range l.sorted(engine.KindRen) {
		delete(parts, strings.TrimSuffix(name, ".ren"))
	}
	for to := range moved {
		if _, taken := parts[to]; taken && !l.full {
			return "", needFull("a table was renamed to %s while the backup ran, and another has that name", to)
		}
	}
	maps.Copy(parts, moved)
	return lossy, nil
}

// sorted gives the names of one kind, so that a refusal always names the same.
func (l layer) sorted(kind engine.EntryKind) []string {
	var names []string
	for name, f := range l.files {
		if f.kind == kind {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// tableOf strips what the tool appends to a tablespace's name.
func tableOf(name string) string {
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".delta"), ".meta")
	return strings.TrimSuffix(name, ".ibd")
}

// meta is the content of a .meta file.
type meta struct {
	page  int // bytes of a block of the delta
	space uint32
}

func parseMeta(b []byte) (meta, error) {
	pairs := parsePairs(b)
	page, err := strconv.Atoi(pairs["page_size"])
	if err != nil || page < 1024 || page > 64<<10 {
		return meta{}, coffer.E(coffer.KindTool, "read a delta's description", "no page size: %q", pairs["page_size"])
	}
	id, err := strconv.ParseUint(pairs["space_id"], 10, 32)
	if err != nil {
		return meta{}, coffer.E(coffer.KindTool, "read a delta's description", "no space id: %q", pairs["space_id"])
	}
	return meta{page: page, space: uint32(id)}, nil
}
