package mysql

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// descriptors is a page of extent descriptors, changed at lsn, by which the first
// used pages of its stretch are in use.
func descriptors(size int, lsn uint64, used int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b[16:], lsn)
	binary.BigEndian.PutUint16(b[24:], 8)
	binary.BigEndian.PutUint32(b[46:], uint32(used+20))
	for p := range (used + 63) / 64 * 64 {
		d := b[150+p/64*40:]
		binary.BigEndian.PutUint32(d[20:], 4)
		if p >= used {
			d[24+p%64/4] |= 1 << (p % 4 * 2)
		}
	}
	return b
}

// changed is a delta with the pages before to, but for those that are left out. Its
// descriptors say that the first used pages are in use.
func (s *scene) changed(name string, id uint32, size int, lsn uint64, used, to int, without ...int) *scene {
	s.file(name+".meta", fmt.Sprintf("page_size = %d\nzip_size = 0 \nspace_id = %d\n", size, id))
	left := map[int]bool{}
	for _, p := range without {
		left[p] = true
	}
	var out, pages []byte
	head := []byte("xtra")
	flush := func(last bool) {
		if last {
			copy(head, "XTRA")
		}
		for len(head) < size {
			head = append(head, 0xff)
		}
		out = append(append(out, head...), pages...)
		head, pages = []byte("xtra"), nil
	}
	for p := range to {
		if left[p] {
			continue
		}
		if len(head) == size {
			flush(false)
		}
		head = binary.BigEndian.AppendUint32(head, uint32(p))
		if p%size == 0 {
			pages = append(pages, descriptors(size, lsn, min(used-p, size))...)
		} else {
			pages = append(pages, make([]byte, size)...)
		}
	}
	flush(true)
	return s.file(name+".delta", string(out))
}

// lostPages wants that an increment needs a full, with a reason of some words.
func lostPages(t *testing.T, name string, err error, words ...string) {
	t.Helper()
	if !coffer.IsKind(err, coffer.KindNeedFull) || !strings.Contains(coffer.HintOf(err), "full") {
		t.Errorf("%s: got %v, want KindNeedFull", name, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", name, err, w)
		}
	}
}

const beforeRedo, behindRedo = 1400, 1600 // of the redo start, 1500

// TestPagesThatNoLayerHas: pages that are in use and in no layer are lost, and found
// by the first increment that could have them.
func TestPagesThatNoLayerHas(t *testing.T) {
	t.Parallel()
	base := parent(t, full(t).whole("app/a.ibd", 7).closing(fullCheckpoints)) // a has two pages
	next := func(base engine.Base, s *scene) (engine.Base, error) {
		i, _, err := pass(s.closing(incrCheckpoints), base, 1500, 70000)
		base.Summary = i.Summary
		return base, err
	}
	_, err := next(base, increment(t).delta("app/a.ibd", 7).changed("app/n.ibd", 20, 16384, beforeRedo, 149, 149, 100, 101))
	lostPages(t, "a new table", err, "app/n", "2 pages", "page 100")
	_, err = next(base, increment(t).changed("app/a.ibd", 7, 16384, beforeRedo, 9, 5))
	lostPages(t, "a grown table", err, "app/a", "4 pages", "page 5")
	_, err = next(base, increment(t).delta("app/a.ibd", 7).changed("app/z.ibd", 20, 4096, beforeRedo, 9000, 9000, 4097, 8999))
	lostPages(t, "of 4 KiB, in its second and third stretch", err, "app/z", "2 pages", "page 4097")
	base, err = next(base, increment(t).delta("app/a.ibd", 7).changed("app/z.ibd", 20, 4096, beforeRedo, 9000, 9000).
		changed("app/n.ibd", 21, 16384, beforeRedo, 149, 149))
	if err != nil {
		t.Fatal(err)
	}
	_, err = next(base, increment(t).delta("app/a.ibd", 7).delta("app/z.ibd", 20, 77).changed("app/n.ibd", 21, 16384, beforeRedo, 200, 199, 3, 4, 5, 160))
	lostPages(t, "the chain has some, not all", err, "app/n", "2 pages", "page 160")
}

// TestPagesThatMayYetCome: what came to be behind the redo start is no loss, and must
// be in the next increment.
func TestPagesThatMayYetCome(t *testing.T) {
	t.Parallel()
	base := parent(t, full(t).whole("app/a.ibd", 7).closing(fullCheckpoints))
	i, _, err := pass(increment(t).delta("app/a.ibd", 7).changed("app/n.ibd", 20, 16384, behindRedo, 149, 149, 100, 101).closing(incrCheckpoints), base, 1500, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	base.Summary = i.Summary
	next := func() *scene { return increment(t).delta("app/a.ibd", 7) }
	for name, c := range map[string]struct {
		s    *scene
		redo uint64
		lost string
	}{
		"they came":                    {next().delta("app/n.ibd", 20, 100, 101), 1700, ""},
		"one did not":                  {next().delta("app/n.ibd", 20, 101), 1700, "page 100"},
		"the redo log still has them":  {next().delta("app/n.ibd", 20), 1550, ""},
		"they are not in use any more": {next().changed("app/n.ibd", 20, 16384, 1650, 90, 3), 1700, ""},
		"they are, it is said again":   {next().changed("app/n.ibd", 20, 16384, 1650, 149, 3), 1700, "page 100"},
	} {
		c.s.file("ib_logfile0", redo(c.redo)).file("xtrabackup_checkpoints", incrCheckpoints)
		c.s.file("backup-my.cnf", options).file("xtrabackup_info", info)
		c.s.must(c.s.w.Close())
		_, _, err := pass(c.s.Bytes(), base, 1500, 1<<20)
		if c.lost != "" {
			lostPages(t, name, err, c.lost)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOldSummaryIsNotJudged: a summary of an older agent does not know its pages, and
// the tablespaces that it names are taken as before.
func TestOldSummaryIsNotJudged(t *testing.T) {
	t.Parallel()
	base := parent(t, full(t).whole("app/a.ibd", 7).closing(fullCheckpoints))
	base.Summary = []byte(`{"v":1,"spaces":[{"id":7,"name":"app/a","whole":true}]}`)
	s := increment(t).changed("app/a.ibd", 7, 16384, beforeRedo, 9, 5)
	if _, _, err := pass(s.closing(incrCheckpoints), base, 1500, 1<<20); err != nil {
		t.Fatal(err)
	}
}
