package histories

import (
	"fmt"
	"strings"
)

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
