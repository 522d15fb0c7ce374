package layers_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// world is a database of tablespaces as a dull model keeps it: of each its pages,
// told by the version that wrote them. Its layers are made beside it, and what the
// merge gives must be what it holds.
type world struct {
	rnd    *rand.Rand
	spaces map[uint32]*space
	nextID uint32
	chain  []*fake
}

type space struct {
	name  string
	pages []byte          // by version
	touch map[uint32]bool // since the last layer
}

func newWorld(rnd *rand.Rand) *world {
	w := &world{rnd: rnd, spaces: map[uint32]*space{}, nextID: 7}
	for range 1 + rnd.IntN(4) {
		w.make('f')
	}
	return w
}

func (w *world) free() string {
	for {
		n := fmt.Sprintf("d/t%d.ibd", w.rnd.IntN(6))
		if w.named(n) == nil {
			return n
		}
	}
}

func (w *world) named(name string) *space {
	for _, s := range w.spaces {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (w *world) make(version byte) {
	if len(w.spaces) == 6 {
		return
	}
	s := &space{name: w.free(), touch: map[uint32]bool{}}
	w.spaces[w.nextID] = s
	w.nextID++
	w.write(s, version, 1+w.rnd.IntN(9))
}

// write makes a space n pages long and changes some of them, page 0 if it grew.
func (w *world) write(s *space, version byte, n int) {
	for len(s.pages) < n {
		s.touch[uint32(len(s.pages))], s.touch[0] = true, true
		s.pages = append(s.pages, version)
	}
	for range w.rnd.IntN(4) {
		s.touch[uint32(w.rnd.IntN(len(s.pages)))] = true
	}
	for p := range s.touch {
		s.pages[p] = version
	}
}

func (w *world) ids() []uint32 { return slices.Sorted(maps.Keys(w.spaces)) }

// live lets a while pass between two backups.
func (w *world) live(version byte) {
	for range w.rnd.IntN(4) {
		ids := w.ids()
		if len(ids) == 0 {
			w.make(version)
			continue
		}
		id := ids[w.rnd.IntN(len(ids))]
		s := w.spaces[id]
		switch w.rnd.IntN(6) {
		case 0:
			w.make(version)
		case 1:
			delete(w.spaces, id)
		case 2:
			s.name = w.free2(s.name)
		case 3: // swap
			o := w.spaces[ids[w.rnd.IntN(len(ids))]]
			s.name, o.name = o.name, s.name
		case 4: // another under its name
			delete(w.spaces, id)
			n := &space{name: s.name, touch: map[uint32]bool{}}
			w.spaces[w.nextID] = n
			w.nextID++
			w.write(n, version, 1+w.rnd.IntN(9))
		default: // shorter, as an undo tablespace becomes
			s.pages = s.pages[:1+w.rnd.IntN(len(s.pages))]
			maps.DeleteFunc(s.touch, func(p uint32, _ bool) bool { return int(p) >= len(s.pages) })
			s.touch[0] = true
			w.write(s, version, len(s.pages))
		}
	}
	for _, id := range w.ids() {
		if w.rnd.IntN(3) > 0 {
			s := w.spaces[id]
			w.write(s, version, len(s.pages)+w.rnd.IntN(3))
		}
	}
}

func (w *world) free2(same string) string {
	if len(w.spaces) == 6 {
		return same
	}
	return w.free()
}

// backup adds a layer. What was copied before a change of names stands under the old
// one, with the order to rename it.
func (w *world) backup(version byte) {
	full := len(w.chain) == 0
	f := newFake(string(version))
	if full {
		f.whole("ibdata1", 0, 4, version)
	} else {
		f.delta("ibdata1", 0, 4, version)
	}
	old := map[string]string{} // name in the stream, by the name in the end
	ids := w.ids()
	if len(ids) > 1 && w.rnd.IntN(2) == 0 { // a cycle of names while the backup ran
		w.rnd.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		n := 2 + w.rnd.IntN(len(ids)-1)
		for i := range n {
			from, to := w.spaces[ids[i]].name, w.spaces[ids[(i+1)%n]].name
			old[to] = from
		}
		names := make([]string, n)
		for i := range n {
			names[i] = w.spaces[ids[(i+1)%n]].name
		}
		for i := range n {
			w.spaces[ids[i]].name = names[i]
		}
	}
	for _, id := range ids {
		s := w.spaces[id]
		name := s.name
		if was, ok := old[name]; ok {
			name = was
		}
		switch born := len(s.touch) == len(s.pages); {
		case full:
			w.whole(f, name, id, s)
		case born && name == s.name && w.rnd.IntN(2) == 0 && w.fresh(id): // made while the backup ran
			w.whole(f, strings.TrimSuffix(name, ".ibd")+".new", id, s)
		default:
			pages := slices.Sorted(maps.Keys(s.touch))
			w.delta(f, name, id, s, pages)
		}
		if name != s.name {
			f.small(strings.TrimSuffix(name, ".ibd")+".ren", engine.KindRen, strings.TrimSuffix(s.name, ".ibd"))
		}
		clear(s.touch)
	}
	if w.rnd.IntN(3) == 0 { // dropped after it was copied
		if n := fmt.Sprintf("d/t%d.ibd", 6+w.rnd.IntN(2)); w.named(n) == nil && !full {
			f.delta(n, 9000, 3, version, 0, 1)
			f.small(strings.TrimSuffix(n, ".ibd")+".del", engine.KindDel, "")
		}
	}
	w.chain = append(w.chain, f)
}

// fresh reports whether no layer has the space.
func (w *world) fresh(id uint32) bool {
	for _, f := range w.chain {
		for _, e := range f.entries {
			if e.Space != nil && *e.Space == id {
				return false
			}
		}
	}
	return true
}

func (w *world) whole(f *fake, name string, id uint32, s *space) {
	var b []byte
	for i, v := range s.pages {
		b = append(b, page(id, uint32(i), v, uint32(len(s.pages)))...)
	}
	kind := engine.KindSpace
	if strings.HasSuffix(name, ".new") {
		kind = engine.KindNew
	}
	f.file(engine.Entry{Name: name, Kind: kind, Space: &id, PageSize: ps, Page0: true, FSPSize: uint32(len(s.pages))}, b)
}

func (w *world) delta(f *fake, name string, id uint32, s *space, pages []uint32) {
	version := byte('?')
	if len(pages) > 0 {
		version = s.pages[pages[0]]
	}
	for _, p := range pages {
		if s.pages[p] != version {
			panic("pages of one delta are of one version here")
		}
	}
	f.delta(name, id, uint32(len(s.pages)), version, pages...)
}

// files is what the newest layer's end must give.
func (w *world) files(system string) map[string]string {
	out := map[string]string{"ibdata1": system}
	for _, s := range w.spaces {
		out[s.name] = string(s.pages)
	}
	return out
}

// playWorld makes a world and a chain of it from one seed.
func playWorld(seed uint64) *world {
	w := newWorld(rand.New(rand.NewPCG(seed, 3)))
	w.backup('f')
	for v := byte('1'); v <= byte('1'+w.rnd.IntN(5)); v++ {
		w.live(v)
		w.backup(v)
	}
	return w
}

// holdWorld merges a world's chain and compares.
func holdWorld(t *testing.T, seed uint64) {
	w := playWorld(seed)
	got, err := join(t, w.chain...)
	if d := cmp.Diff(w.files("ffff"), got); err != nil || d != "" {
		t.Fatalf("seed %d: %v\n%s", seed, err, d)
	}
}

// TestWorlds holds the merge of random lives of tablespaces against a model.
func TestWorlds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		holdWorld(t, seed)
	}
}

// FuzzJoin: any life of tablespaces merges to what it is; with some line of some
// index spoiled it is refused, or what was spoiled does not matter: it is never
// another database.
func FuzzJoin(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed, uint16(0), byte(0), byte(0), uint32(0))
		for what := range byte(spoils) {
			f.Add(seed, uint16(seed*3), byte(seed), what, uint32(1+seed))
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, line uint16, layer, what byte, n uint32) {
		w := playWorld(seed)
		if what > 0 {
			spoil(w.chain[int(layer)%len(w.chain)], int(line), what, n)
		}
		got, err := join(t, w.chain...)
		if err != nil {
			if what == 0 || !coffer.IsKind(err, coffer.KindCorrupt) && !coffer.IsKind(err, coffer.KindUnsupported) {
				t.Fatal(err)
			}
			return
		}
		if d := cmp.Diff(w.files("ffff"), got); d != "" && !believed(what) {
			t.Fatalf("spoil %d: %s", what, d)
		}
	})
}

const (
	spoilPages = iota + 1
	spoilSize
	spoilPlain
	spoilLen
	spoilFirst
	spoilFSP
	spoilPageSize
	spoilTwice
	spoilLeads
	spoilRuns  // from here on: what only the data could contradict
	spoilSpace //
	spoilGone  //
	spoilKind  //
	spoils
)

// believed are lies that an index can tell unseen, if what they are about is not
// read: an index is believed as a whole because its sum is in the manifest.
func believed(what byte) bool { return what >= spoilRuns }

// spoil makes one line of an index lie.
func spoil(f *fake, line int, what byte, n uint32) {
	e := &f.entries[line%len(f.entries)]
	e.Chunks = slices.Clone(e.Chunks)
	switch what {
	case spoilPages:
		e.Pages += int64(n)
	case spoilSize:
		e.Size += int64(n)
	case spoilPlain:
		if len(e.Chunks) > 0 {
			e.Chunks[0].Plain += int64(n) << (n % 40)
		}
	case spoilLen:
		if len(e.Chunks) > 0 {
			e.Chunks[len(e.Chunks)-1].Len -= int64(n)
		}
	case spoilFirst:
		if e.Kind == engine.KindDelta {
			e.Page0 = !e.Page0
		}
	case spoilFSP:
		e.FSPSize += n
	case spoilPageSize:
		e.PageSize = int(n)
	case spoilTwice:
		f.entries = append(f.entries, *e)
	case spoilLeads:
		e.Name = "../" + e.Name
	case spoilRuns:
		if len(e.Runs) > 0 {
			e.Runs = bytes.Clone(e.Runs)
			e.Runs[int(n)%len(e.Runs)] ^= byte(1 + n>>8)
		}
	case spoilSpace:
		e.Space = &n
	case spoilGone:
		f.entries = slices.Delete(f.entries, line%len(f.entries), line%len(f.entries)+1)
	case spoilKind:
		e.Kind = []engine.EntryKind{engine.KindSpace, engine.KindDelta, engine.KindMeta, engine.KindRen, engine.KindNew, engine.KindDel, engine.KindFile}[n%7]
	}
}
