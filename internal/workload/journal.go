package workload

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"time"

	"github.com/cofferdb/coffer"
)

// Journal is what clients did, noted outside of the database.
type Journal struct {
	Schema  string  `json:"schema"`
	Entries []Entry `json:"entries"` // of one client in the order of its work
}

// Entry is one unit of a client's work: a transaction, or (Table is not "") one
// insert into a non-transactional table.
type Entry struct {
	Table    string    `json:"table,omitempty"`
	Worker   int       `json:"worker"`
	Seq      int64     `json:"seq"`
	Effects  string    `json:"effects"`           // "c17:crc o9:crc -o3": table, id and crc of every row changed
	Begun    time.Time `json:"begun"`             // before its first statement
	Returned time.Time `json:"returned,omitzero"` // after its commit; zero: nobody knows whether it happened
	GTID     string    `json:"gtid,omitempty"`
}

// client names one sequence of entries.
type client struct {
	table  string
	worker int
}

func (e Entry) client() client { return client{e.Table, e.Worker} }

// ReadJournal reads the file that Options.JournalFile named. What was under way
// when its writer was killed is not in it.
func ReadJournal(path string) (Journal, error) {
	const op = "read the journal"
	f, err := os.Open(path)
	if err != nil {
		return Journal{}, coffer.Wrap(op, err)
	}
	defer f.Close()
	var j Journal
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if n == 1 {
			err = json.Unmarshal(lines.Bytes(), &j)
		} else {
			var e Entry
			err = json.Unmarshal(lines.Bytes(), &e)
			j.Entries = append(j.Entries, e)
		}
		if err != nil {
			return Journal{}, coffer.E(coffer.KindCorrupt, op, "%s, line %d: %w", path, n, err)
		}
	}
	return j, coffer.Wrap(op, lines.Err())
}

// notes are one client's entries. The writer's mutex guards them.
type notes struct {
	of      client
	entries []Entry
}

// begin notes a unit before its first statement.
func (w *Writer) begin(n *notes, seq int64, effects string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n.entries = append(n.entries, Entry{
		Table: n.of.table, Worker: n.of.worker, Seq: seq, Effects: effects, Begun: time.Now(),
	})
}

// returned notes that the unit begun last has happened.
func (w *Writer) returned(n *notes, gtid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &n.entries[len(n.entries)-1]
	e.Returned, e.GTID = time.Now(), gtid
	w.count++
	w.write(*e)
}

// write adds a line to the journal's file, if there is one.
func (w *Writer) write(v any) {
	if w.file == nil {
		return
	}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = w.file.Write(append(b, '\n'))
	}
	if err != nil && w.err == nil {
		w.err = coffer.Wrap("write the journal", err)
	}
}

// Journal is what has been done so far, with what is under way now (its Returned
// is zero). Take it after the end of the backup that it shall judge.
func (w *Writer) Journal() Journal {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := Journal{Schema: w.o.Schema}
	for _, n := range w.notes {
		j.Entries = append(j.Entries, slices.Clone(n.entries)...)
	}
	return j
}
