package histories

import (
	"context"
	"fmt"
	"strings"
)

// begin makes a table of every shape.
func (l *lab) begin() []step {
	steps := []step{{sql: "CREATE DATABASE `" + labTwo + "`"}}
	for _, s := range shapes() {
		n, _ := l.free()
		steps = append(steps, l.create(n, s, "CREATE TABLE")...)
	}
	return append(steps, l.bulk()...)
}

// bulkTable is large enough that changing all of it fills an undo tablespace.
var bulkName = name{labOne, "bulk"}

func (l *lab) bulk() []step {
	return []step{
		{sql: "CREATE TABLE " + bulkName.sql() + " (id INT PRIMARY KEY, v INT NOT NULL, s VARCHAR(2500) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=latin1", touches: []name{bulkName}},
		{rows: "INSERT INTO " + bulkName.sql() + " SELECT seq, seq, REPEAT(MD5(seq), 75) FROM seq_1_to_1200", touches: []name{bulkName}},
	}
}

// op draws the next steps; none if what was drawn has no table to be done to.
type op struct {
	name   string
	weight int
	draw   func(l *lab) []step
}

func ops() []op {
	return []op{
		{"insert", 8, func(l *lab) []step {
			return l.on(anyTable, func(t *table) []step { return []step{l.insert(t, 1+l.rnd.IntN(200))} })
		}},
		{"update", 10, (*lab).update},
		{"delete", 4, (*lab).remove},
		{"rolled back", 2, (*lab).rolledBack},
		{"checkpoint", 6, func(*lab) []step { return []step{{sql: "SET GLOBAL innodb_log_checkpoint_now = 1"}} }},
		{"flush", 3, func(*lab) []step {
			return []step{{sql: "SET GLOBAL innodb_max_dirty_pages_pct = 0"}, {sql: "SET GLOBAL innodb_max_dirty_pages_pct = 90"}}
		}},
		{"bulk", 1, (*lab).change},
		{"create", 4, (*lab).made},
		{"drop", 2, (*lab).drop},
		{"rename", 4, (*lab).rename},
		{"swap", 4, (*lab).swap},
		{"cycle", 2, (*lab).cycle},
		{"move away", 3, (*lab).moveAway},
		{"replace", 3, (*lab).replace},
		{"truncate", 3, func(l *lab) []step { return l.alter(anyTable, "TRUNCATE TABLE %s") }},
		{"force", 3, func(l *lab) []step { return l.alter(anyTable, "ALTER TABLE %s FORCE") }},
		{"optimize", 1, func(l *lab) []step { return l.alter(anyTable, "OPTIMIZE TABLE %s") }},
		{"add column", 4, (*lab).addColumn},
		{"drop column", 2, (*lab).dropColumn},
		{"index", 3, (*lab).flipIndex},
		{"format", 2, (*lab).format},
		{"engine", 3, (*lab).engine},
		{"partitions", 2, (*lab).partitions},
		{"exchange", 2, (*lab).exchange},
		{"drop database", 1, (*lab).dropDatabase},
		{"import", 1, (*lab).load},
		{"import again", 1, (*lab).reload},
		{"shop", 3, (*lab).shop},
	}
}

// next draws an op that has something to do.
func (l *lab) next() (string, []step) {
	all, sum := ops(), 0
	for _, o := range all {
		sum += o.weight
	}
	for {
		at := l.rnd.IntN(sum)
		for _, o := range all {
			if at -= o.weight; at >= 0 {
				continue
			}
			if steps := o.draw(l); len(steps) > 0 {
				return o.name, steps
			}
			break
		}
	}
}

func (l *lab) on(fits func(*table) bool, do func(t *table) []step) []step {
	t := l.pick(fits)
	if t == nil {
		return nil
	}
	return do(t)
}

// alter runs one statement on one table.
func (l *lab) alter(fits func(*table) bool, format string) []step {
	return l.on(fits, func(t *table) []step {
		return []step{{sql: fmt.Sprintf(format, t.name.sql()), touches: []name{t.name}}}
	})
}

func (l *lab) set() string {
	r := l.rnd.IntN(100000)
	return []string{
		fmt.Sprintf("v = v + %d", r),
		fmt.Sprintf("s = CONCAT('word', id %% 50, ' common ', MD5(id + %d))", r),
		fmt.Sprintf("b = REPEAT(MD5(id * %d), %d)", r, 1+l.rnd.IntN(600)),
		fmt.Sprintf("v = %d - v, s = LEFT(s, %d)", r, 30+r%40),
	}[l.rnd.IntN(4)]
}

func (l *lab) update() []step {
	return l.on(anyTable, func(t *table) []step {
		set := l.set()
		for _, c := range t.extra {
			set += fmt.Sprintf(", %s = id + %d", c, l.rnd.IntN(1000))
		}
		m := 1 + l.rnd.IntN(20)
		return []step{{rows: fmt.Sprintf("UPDATE %s SET %s WHERE id %% %d = %d", t.name.sql(), set, m, l.rnd.IntN(m)), touches: []name{t.name}}}
	})
}

func (l *lab) remove() []step {
	return l.on(anyTable, func(t *table) []step {
		m := 2 + l.rnd.IntN(20)
		return []step{{rows: fmt.Sprintf("DELETE FROM %s WHERE id %% %d = %d", t.name.sql(), m, l.rnd.IntN(m)), touches: []name{t.name}}}
	})
}

func (l *lab) rolledBack() []step {
	return l.on(isInno, func(t *table) []step {
		return []step{{rows: fmt.Sprintf("UPDATE %s SET %s", t.name.sql(), l.set()), back: true, touches: []name{t.name}}}
	})
}

func isInno(t *table) bool { return t.shape.inno }

// change writes all of the large table anew, and so an undo tablespace full.
func (l *lab) change() []step {
	one := fmt.Sprintf("UPDATE %s SET v = v + 1, s = REPEAT(MD5(id + v + %d), 75)", bulkName.sql(), l.rnd.IntN(1000))
	return []step{{rows: strings.Repeat(one+"; ", 5) + one, touches: []name{bulkName}}}
}

func (l *lab) anyShape() shape {
	for all := shapes(); ; {
		if s := all[l.rnd.IntN(len(all))]; s.inno || !l.inno {
			return s
		}
	}
}

func (l *lab) made() []step {
	n, ok := l.free()
	if !ok || len(l.tables) > 22 {
		return nil
	}
	return l.create(n, l.anyShape(), "CREATE TABLE")
}

func (l *lab) drop() []step {
	if len(l.tables) < 9 {
		return nil
	}
	return l.on(anyTable, func(t *table) []step {
		delete(l.tables, t.name)
		return []step{{sql: "DROP TABLE " + t.name.sql(), touches: []name{t.name}}}
	})
}

// moved notes that tables have other names now: from[i] is named to[i].
func (l *lab) moved(from, to []name) {
	var all []*table
	for _, n := range from {
		all = append(all, l.tables[n])
		delete(l.tables, n)
	}
	for i, t := range all {
		t.name = to[i]
		l.tables[to[i]] = t
	}
}

func (l *lab) rename() []step {
	n, ok := l.free()
	if !ok {
		return nil
	}
	return l.on(anyTable, func(t *table) []step {
		was := t.name
		l.moved([]name{was}, []name{n})
		return []step{{sql: fmt.Sprintf("RENAME TABLE %s TO %s", was.sql(), n.sql()), touches: []name{was, n}}}
	})
}

// rotate gives each table the next one's name, in one statement.
func (l *lab) rotate(n int) []step {
	all := l.names(anyTable)
	if len(all) < n {
		return nil
	}
	l.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	from := all[:n]
	to := append(append([]name{}, from[1:]...), from[0])
	aside := name{labOne, "aside"}
	parts := []string{fmt.Sprintf("%s TO %s", from[n-1].sql(), aside.sql())}
	for i := n - 2; i >= 0; i-- {
		parts = append(parts, fmt.Sprintf("%s TO %s", from[i].sql(), to[i].sql()))
	}
	parts = append(parts, fmt.Sprintf("%s TO %s", aside.sql(), to[n-1].sql()))
	l.moved(from, to)
	return []step{{sql: "RENAME TABLE " + strings.Join(parts, ", "), touches: append([]name{aside}, from...)}}
}

func (l *lab) swap() []step  { return l.rotate(2) }
func (l *lab) cycle() []step { return l.rotate(3) }

// moveAway makes a new table under the name of one that gets another.
func (l *lab) moveAway() []step {
	n, ok := l.free()
	if !ok || len(l.tables) > 22 {
		return nil
	}
	return l.on(anyTable, func(t *table) []step {
		was := t.name
		l.moved([]name{was}, []name{n})
		first := step{sql: fmt.Sprintf("RENAME TABLE %s TO %s", was.sql(), n.sql()), touches: []name{was, n}}
		return append([]step{first}, l.create(was, l.anyShape(), "CREATE TABLE")...)
	})
}

// replace drops a table and makes another of its name, of any engine.
func (l *lab) replace() []step {
	return l.on(anyTable, func(t *table) []step {
		if l.rnd.IntN(2) == 0 {
			return l.create(t.name, l.anyShape(), "CREATE OR REPLACE TABLE")
		}
		gone := step{sql: "DROP TABLE " + t.name.sql(), touches: []name{t.name}}
		return append([]step{gone}, l.create(t.name, l.anyShape(), "CREATE TABLE")...)
	})
}

func (l *lab) addColumn() []step {
	return l.on(func(t *table) bool { return len(t.extra) < 4 }, func(t *table) []step {
		l.columns++
		c := fmt.Sprintf("c%d", l.columns)
		place := []string{"", " FIRST", " AFTER v"}[l.rnd.IntN(3)]
		t.extra = append(t.extra, c)
		return []step{{sql: fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s INT NOT NULL DEFAULT %d%s", t.name.sql(), c, l.rnd.IntN(1000), place), touches: []name{t.name}}}
	})
}

func (l *lab) dropColumn() []step {
	return l.on(func(t *table) bool { return len(t.extra) > 0 }, func(t *table) []step {
		i := l.rnd.IntN(len(t.extra))
		c := t.extra[i]
		t.extra = append(append([]string{}, t.extra[:i]...), t.extra[i+1:]...)
		return []step{{sql: fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", t.name.sql(), c), touches: []name{t.name}}}
	})
}

func (l *lab) flipIndex() []step {
	return l.on(anyTable, func(t *table) []step {
		t.index = !t.index
		what := "ADD KEY k_more (v, s(10))"
		if !t.index {
			what = "DROP KEY k_more"
		}
		return []step{{sql: fmt.Sprintf("ALTER TABLE %s %s", t.name.sql(), what), touches: []name{t.name}}}
	})
}

// format gives an InnoDB table another row format: a new tablespace under its name.
func (l *lab) format() []step {
	formats := map[string]string{
		"redundant": "ROW_FORMAT=REDUNDANT KEY_BLOCK_SIZE=0", "compact": "ROW_FORMAT=COMPACT KEY_BLOCK_SIZE=0", "dynamic": "ROW_FORMAT=DYNAMIC KEY_BLOCK_SIZE=0",
		"zip8": "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8", "zip4": "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4",
	}
	return l.on(func(t *table) bool { return formats[t.shape.name] != "" }, func(t *table) []step {
		to := []string{"redundant", "compact", "dynamic", "zip8", "zip4"}[l.rnd.IntN(5)]
		t.shape = shapeOf(to)
		return []step{{sql: fmt.Sprintf("ALTER TABLE %s %s", t.name.sql(), formats[to]), touches: []name{t.name}}}
	})
}

// engine changes a table's engine under its name.
func (l *lab) engine() []step {
	fits := func(t *table) bool {
		return t.shape.name == "dynamic" || t.shape.name == "aria" || t.shape.name == "myisam"
	}
	return l.on(fits, func(t *table) []step {
		to := []string{"dynamic", "aria", "myisam"}[l.rnd.IntN(3)]
		if l.inno {
			to = "dynamic"
		}
		t.shape = shapeOf(to)
		engine := map[string]string{"dynamic": "InnoDB", "aria": "Aria", "myisam": "MyISAM"}[to]
		return []step{{sql: fmt.Sprintf("ALTER TABLE %s ENGINE=%s", t.name.sql(), engine), touches: []name{t.name}}}
	})
}

func (l *lab) partitions() []step {
	return l.on(func(t *table) bool { return t.shape.parts > 0 }, func(t *table) []step {
		what := fmt.Sprintf("TRUNCATE PARTITION p%d", l.rnd.IntN(2))
		if t.shape.name == "hash" {
			switch k := l.rnd.IntN(3); {
			case k == 0 && t.shape.parts < 6:
				what = "ADD PARTITION PARTITIONS 1"
				t.shape.parts++
			case k == 1 && t.shape.parts > 2:
				what = "COALESCE PARTITION 1"
				t.shape.parts--
			}
		}
		return []step{{sql: fmt.Sprintf("ALTER TABLE %s %s", t.name.sql(), what), touches: []name{t.name}}}
	})
}

// exchange swaps a partition with an empty table.
func (l *lab) exchange() []step {
	n, ok := l.free()
	if !ok {
		return nil
	}
	return l.on(func(t *table) bool { return t.shape.parts > 0 && len(t.extra) == 0 }, func(t *table) []step {
		other := &table{name: n, shape: shapeOf("dynamic"), next: t.next, index: t.index}
		if t.shape.name == "range" {
			other.shape = shapeOf("compact")
		}
		l.tables[n] = other
		return []step{
			{sql: fmt.Sprintf("CREATE TABLE %s LIKE %s", n.sql(), t.name.sql()), touches: []name{n}},
			{sql: fmt.Sprintf("ALTER TABLE %s REMOVE PARTITIONING", n.sql()), touches: []name{n}},
			{sql: fmt.Sprintf("ALTER TABLE %s EXCHANGE PARTITION p%d WITH TABLE %s", t.name.sql(), l.rnd.IntN(2), n.sql()), touches: []name{n, t.name}},
		}
	})
}

func (l *lab) dropDatabase() []step {
	var gone []name
	for n, t := range l.tables {
		if n.schema == labTwo && (t.shape.inno || !l.inno) {
			gone = append(gone, n)
		} else if n.schema == labTwo {
			return nil
		}
	}
	for _, n := range gone {
		delete(l.tables, n)
	}
	steps := []step{{sql: "DROP DATABASE `" + labTwo + "`", touches: gone}, {sql: "CREATE DATABASE `" + labTwo + "`"}}
	for range 2 {
		if n, ok := l.free(); ok {
			steps = append(steps, l.create(n, l.anyShape(), "CREATE TABLE")...)
		}
	}
	return steps
}

// canLoad fits tables whose tablespace can be imported.
func canLoad(t *table) bool {
	return t.name.plain() && t.shape.inno && t.shape.parts == 0 && t.shape.name != "fulltext" && len(t.extra) == 0
}

// load imports a copy of a table's tablespace into a new table.
func (l *lab) load() []step {
	n, ok := l.free()
	if !ok || !n.plain() || l.inno {
		return nil
	}
	return l.on(canLoad, func(t *table) []step {
		l.tables[n] = &table{name: n, shape: t.shape, next: t.next, index: t.index}
		first := step{
			sql: fmt.Sprintf("CREATE TABLE %s LIKE %s", n.sql(), t.name.sql()), touches: []name{n},
			before: func(ctx context.Context, a *actor) error { return a.export(ctx, t.name) },
		}
		return append([]step{first}, importInto(n)...)
	})
}

// reload imports a table's own earlier tablespace into it.
func (l *lab) reload() []step {
	if l.inno {
		return nil
	}
	return l.on(canLoad, func(t *table) []step {
		n := t.name
		first := step{
			rows: fmt.Sprintf("UPDATE %s SET v = v + 1", n.sql()), touches: []name{n},
			before: func(ctx context.Context, a *actor) error { return a.export(ctx, n) },
		}
		return append([]step{first}, importInto(n)...)
	})
}

func importInto(n name) []step {
	return []step{
		{sql: fmt.Sprintf("ALTER TABLE %s DISCARD TABLESPACE", n.sql()), touches: []name{n}},
		{
			sql: fmt.Sprintf("ALTER TABLE %s IMPORT TABLESPACE", n.sql()), touches: []name{n},
			before: func(_ context.Context, a *actor) error { return a.place(n) },
		},
	}
}

// shop does something to a table of the shop while its clients are at work.
func (l *lab) shop() []step {
	t := []string{"customers", "orders", "events", "documents", "ledger"}[l.rnd.IntN(5)]
	l.columns++
	what := []string{"FORCE", fmt.Sprintf("ADD COLUMN c%d INT DEFAULT 7", l.columns), fmt.Sprintf("ADD COLUMN c%d INT NOT NULL DEFAULT 8 FIRST", l.columns)}
	return []step{{sql: fmt.Sprintf("ALTER TABLE shop.%s %s", t, what[l.rnd.IntN(len(what))])}}
}

// dress gives the shop's tables row formats.
func (l *lab) dress() (steps []step) {
	formats := []string{
		"ROW_FORMAT=REDUNDANT", "ROW_FORMAT=COMPACT", "ROW_FORMAT=DYNAMIC", "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8",
		"ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4", "PAGE_COMPRESSED=1",
	}
	l.rnd.Shuffle(len(formats), func(i, j int) { formats[i], formats[j] = formats[j], formats[i] })
	for i, t := range []string{"customers", "orders", "events", "documents", "ledger"} {
		steps = append(steps, step{sql: fmt.Sprintf("ALTER TABLE shop.%s %s", t, formats[i])})
	}
	return steps
}
