package histories

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// name is a table's.
type name struct{ schema, table string }

func (n name) String() string { return n.schema + "." + n.table }

func (n name) sql() string { return "`" + n.schema + "`.`" + n.table + "`" }

// plain reports whether the table's files have its name as it is.
func (n name) plain() bool {
	return strings.Trim(n.schema+n.table, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// The schemas of the actor's tables; the second comes and goes.
const (
	labOne = "lab"
	labTwo = "lab-2"
)

// labTables are all names there are in a schema: few, so that they are used again.
// Some are encoded in the names of files, some look like what the tool appends.
func labTables() []string {
	return []string{
		"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "undo001", "ibdata1", "x.new", "x.ibd", "é t", "d#P#p0", "r.ren",
	}
}

// shape is a kind of table.
type shape struct {
	name   string
	keys   string // beside the primary key
	suffix string // behind the columns
	inno   bool
	parts  int
}

const commonKeys = "KEY k_v (v), KEY k_s (s(20))"

func shapes() []shape {
	return []shape{
		{"redundant", commonKeys, "ENGINE=InnoDB ROW_FORMAT=REDUNDANT", true, 0},
		{"compact", commonKeys, "ENGINE=InnoDB ROW_FORMAT=COMPACT", true, 0},
		{"dynamic", commonKeys, "ENGINE=InnoDB", true, 0},
		{"zip8", commonKeys, "ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8", true, 0},
		{"zip4", commonKeys, "ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4", true, 0},
		{"packed", commonKeys, "ENGINE=InnoDB PAGE_COMPRESSED=1", true, 0},
		{"hash", commonKeys, "ENGINE=InnoDB PARTITION BY HASH (id) PARTITIONS 3", true, 3},
		{"range", commonKeys, "ENGINE=InnoDB ROW_FORMAT=COMPACT PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (200), PARTITION p1 VALUES LESS THAN (600), PARTITION p2 VALUES LESS THAN MAXVALUE)", true, 3},
		{"fulltext", commonKeys + ", FULLTEXT KEY f_s (s)", "ENGINE=InnoDB", true, 0},
		{"aria", commonKeys, "ENGINE=Aria", false, 0},
		{"aria0", commonKeys, "ENGINE=Aria TRANSACTIONAL=0", false, 0},
		{"myisam", commonKeys, "ENGINE=MyISAM", false, 0},
	}
}

func shapeOf(name string) shape {
	for _, s := range shapes() {
		if s.name == name {
			return s
		}
	}
	panic("no shape " + name)
}

// table is what the actor knows of one of its tables.
type table struct {
	name  name
	shape shape
	next  int      // id of the next row
	extra []string // columns that were added
	index bool     // one more index
}

// step is one statement, or what has to be one, and the tables that it touches.
type step struct {
	sql     string                                    // DDL, or a setting
	rows    string                                    // or a change of rows, in one transaction with the step's number
	back    bool                                      // the rows are rolled back
	before  func(ctx context.Context, a *actor) error // done first
	touches []name
}

// lab draws steps. It knows what the tables are, and nothing of the server.
type lab struct {
	rnd     *rand.Rand
	tables  map[name]*table
	columns int  // made so far
	inno    bool // leave the tables of other engines alone, and import nothing
}

func newLab(seed uint64) *lab {
	return &lab{rnd: rand.New(rand.NewPCG(seed, 77)), tables: map[name]*table{}}
}

// names are those of the tables that fit, in order.
func (l *lab) names(fits func(*table) bool) []name {
	var all []name
	for _, n := range slices.SortedFunc(maps.Keys(l.tables), func(a, b name) int { return strings.Compare(a.String(), b.String()) }) {
		if t := l.tables[n]; fits(t) && (t.shape.inno || !l.inno) {
			all = append(all, n)
		}
	}
	return all
}

func anyTable(*table) bool { return true }

// pick draws a table that fits; nil if none does.
func (l *lab) pick(fits func(*table) bool) *table {
	all := l.names(fits)
	if len(all) == 0 {
		return nil
	}
	return l.tables[all[l.rnd.IntN(len(all))]]
}

// free draws a name that no table has.
func (l *lab) free() (name, bool) {
	var all []name
	for _, t := range labTables() {
		for _, s := range []string{labOne, labTwo} {
			n := name{s, t}
			if l.tables[n] == nil {
				all = append(all, n)
			}
		}
	}
	if len(all) == 0 {
		return name{}, false
	}
	return all[l.rnd.IntN(len(all))], true
}

// create makes a table under a name, and its rows.
func (l *lab) create(n name, s shape, verb string) []step {
	t := &table{name: n, shape: s, next: 1}
	l.tables[n] = t
	first := step{
		sql: fmt.Sprintf("%s %s (id INT NOT NULL PRIMARY KEY, v INT NOT NULL, s VARCHAR(200) NOT NULL, b LONGBLOB, %s) DEFAULT CHARSET=latin1 %s",
			verb, n.sql(), s.keys, s.suffix),
		touches: []name{n},
	}
	return []step{first, l.insert(t, 50+l.rnd.IntN(400))}
}

// insert adds n rows.
func (l *lab) insert(t *table, n int) step {
	from := t.next
	t.next += n
	r := 1 + l.rnd.IntN(1000)
	return step{
		rows: fmt.Sprintf("INSERT INTO %s (id, v, s, b) SELECT seq, seq * %d %% 997, CONCAT('word', seq %% 50, ' common ', MD5(seq + %d)), IF(seq %% 7 = 0, REPEAT(MD5(seq * %d), %d), NULL) FROM seq_%d_to_%d",
			t.name.sql(), r, r, r, 1+l.rnd.IntN(1200), from, t.next-1),
		touches: []name{t.name},
	}
}
