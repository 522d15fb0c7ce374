package histories

import "fmt"

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
