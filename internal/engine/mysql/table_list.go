package mysql

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

const opTables = "list the backup's tables"

// Tables lists the tables at the chain's end from the indexes alone. A table is what
// has an .frm; views have one too, and cannot be told from a table without files.
func (e *Engine) Tables(ctx context.Context, chain []engine.Layer) (engine.Tables, error) {
	var out engine.Tables
	p, spool, err := joinChain(ctx, chain, "", nil)
	if err != nil {
		return out, coffer.Wrap(opTables, err)
	}
	defer spool.Close()
	all := map[[2]string]*engine.Table{}
	named := map[[2]string]bool{}
	base := system(chain)
	for m := range p.Files() {
		f, ok := parseTableFile(m.Name)
		ok = ok && !coffer.SystemDatabase(f.database)
		if !ok && !base(m.Name) {
			continue
		}
		c, err := costOf(ctx, chain, m)
		if err != nil {
			return out, coffer.Wrap(opTables, err)
		}
		if !ok {
			out.Plain, out.Stored = out.Plain+c.plain, out.Stored+c.stored
			continue
		}
		key := [2]string{f.database, f.table}
		t := all[key]
		if t == nil {
			t = &engine.Table{Database: f.database, Name: f.table}
			all[key] = t
		}
		named[key] = named[key] || f.ext == ".frm"
		count(t, f, m.Size, c)
	}
	for key, t := range all {
		if named[key] {
			out.List = append(out.List, *t)
		}
	}
	slices.SortFunc(out.List, func(a, b engine.Table) int {
		return cmp.Or(strings.Compare(a.Database, b.Database), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

// count adds a file to its table.
func count(t *engine.Table, f tableFile, size int64, c cost) {
	t.Size, t.Plain, t.Stored = t.Size+size, t.Plain+c.plain, t.Stored+c.stored
	data := true
	switch f.ext {
	case ".ibd":
		t.Engine = "InnoDB"
	case ".MAD":
		t.Engine = "Aria"
	case ".MYD":
		t.Engine = "MyISAM"
	case ".CSV":
		t.Engine = "CSV"
	case ".ARZ":
		t.Engine = "ARCHIVE"
	default:
		data = false
	}
	if f.partition && data {
		t.Partitions++
	}
}

// cost is what is read for something.
type cost struct{ plain, stored int64 }

// readOver is a gap in a layer's stream that a merge reads over, since what is stored
// is decoded in pieces of that size.
const readOver = 1 << 20

// readRun is what is read of one layer in one go. end is of the stored bytes that
// count already.
type readRun struct{ from, to, end int64 }

// costOf says what is read for a file of a plan.
func costOf(ctx context.Context, chain []engine.Layer, m layers.Made) (c cost, err error) {
	runs := make([]readRun, len(chain))
	flush := func(i int) error {
		r := &runs[i]
		if r.to == r.from {
			return nil
		}
		l, ok := chain[i].(engine.Locator)
		if !ok {
			c.stored += r.to - r.from
			return nil
		}
		from, to, err := l.Stored(ctx, r.from, r.to-r.from)
		c.stored += max(0, to-max(from, r.end))
		r.end = max(r.end, to)
		return err
	}
	for x, err := range m.Extents {
		if err != nil {
			return c, err
		}
		c.plain += x.Len
		r := &runs[x.Layer]
		if gap := x.Plain - r.to; r.to == r.from || gap < 0 || gap > readOver {
			if err := flush(x.Layer); err != nil {
				return c, err
			}
			r.from = x.Plain
		}
		r.to = x.Plain + x.Len
	}
	for i := range runs {
		if err := flush(i); err != nil {
			return c, err
		}
	}
	return c, nil
}

// statistics are InnoDB's own tables, without which it renames no table.
func statistics() []string {
	return []string{"mysql/innodb_table_stats.frm", "mysql/innodb_table_stats.ibd", "mysql/innodb_index_stats.frm", "mysql/innodb_index_stats.ibd"}
}

// system says which files a server needs whatever table it is started for.
func system(chain []engine.Layer) func(name string) bool {
	names, _ := layers.SystemFiles(chain[len(chain)-1].Position().DataFilePath) // joinChain tells the error
	names = append(names, optionsFile, "ib_logfile0")
	own := statistics()
	return func(name string) bool {
		if strings.Contains(name, "/") {
			return slices.Contains(own, name)
		}
		for _, prefix := range []string{"undo", "aria_log", "xtrabackup_"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return slices.Contains(names, name)
	}
}
