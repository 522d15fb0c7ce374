package e2e

import (
	"slices"
	"testing"

	"github.com/cofferdb/coffer/internal/codec"
)

// TestRunKeepsChainsShort: with --max-links no chain has more backups, each run stands
// on the one before or on a full that was joined of it, and what is kept restores. What
// cannot be read is not joined: a full is taken.
func TestRunKeepsChainsShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDatabase(t, 4<<20, false))
	id, err := codec.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	file := w.dir + "/identity.txt"
	if err := codec.WriteIdentity(file, id); err != nil {
		t.Fatal(err)
	}
	c := newCron(w, "b")
	args := []string{"--recipient", id.Recipient().String(), "--incremental", "--max-links", "2", "--keep", "3"}
	var types []string
	var depths []int
	for range 3 {
		b := c.good(append(args, "--identity", file)...)
		types, depths = append(types, b.Type), append(depths, b.Depth)
	}
	if !slices.Equal(types, []string{"full", "incremental", "incremental"}) || !slices.Equal(depths, []int{0, 1, 1}) {
		t.Errorf("the runs made %q of depths %d", types, depths)
	}
	if whole, _ := c.backups(); len(whole) != 4 { // full, increment, the full of both, increment
		t.Errorf("%d backups are there, want 4", len(whole))
	}
	if b := c.good(args...); b.Type != "full" {
		t.Errorf("without the identity the run made an %s", b.Type)
	}
	if whole, other := c.backups(); len(whole) != 3 || len(other) != 0 { // the old chain has gone by --keep
		t.Errorf("%d backups are there, want 3; of others %q", len(whole), other)
	}
	p, _ := c.start("", "--incremental", "--max-links", "1")
	c.ends(p, 2)
}
