package histories

import (
	"context"
	"fmt"
	"strings"
)

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
