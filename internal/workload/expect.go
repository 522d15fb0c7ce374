package workload

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clients are in the order of a report.
func clients(m map[client][]Entry) []client {
	return slices.SortedFunc(maps.Keys(m), func(a, b client) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.worker, b.worker))
	})
}

// times holds the journal's clock against what is there. All workers share one
// cut: what had returned before something present was begun must be present.
func (c *checker) times() {
	var newest Entry // of the present transactions, the one begun last
	for of, list := range c.journal {
		if k := min(c.last[of], int64(len(list))); of.table == "" && k > 0 && list[k-1].Begun.After(newest.Begun) {
			newest = list[k-1]
		}
	}
	for _, of := range clients(c.journal) {
		for i, e := range c.journal[of] {
			present := int64(i) < c.last[of]
			switch {
			case present && !c.after.IsZero() && e.Begun.After(c.after):
				c.problem("%s is there and was begun %v after the backup's end", name(of, e.Seq), e.Begun.Sub(c.after).Round(time.Millisecond))
			case present || e.Returned.IsZero():
			case e.Returned.Before(c.before):
				c.problem("%s is missing and had returned %v before the backup's start", name(of, e.Seq), c.before.Sub(e.Returned).Round(time.Millisecond))
			case of.table == "" && e.Returned.Before(newest.Begun):
				c.problem("%s is missing and had returned before %s began, which is there", name(of, e.Seq), name(newest.client(), newest.Seq))
			}
		}
	}
}

// wanted is what one row must be; a deleted one must not be.
type wanted struct {
	worker  int
	seq     int64
	crc     uint32
	deleted bool
}

// replay says what every row that a present transaction touched must be now. No
// two workers touch the same row.
func (c *checker) replay() (map[string]map[int64]wanted, error) {
	want := map[string]map[int64]wanted{}
	for _, t := range transactional() {
		want[t.tag] = map[int64]wanted{}
	}
	for of, list := range c.journal {
		if of.table != "" {
			continue
		}
		for _, e := range list[:min(c.last[of], int64(len(list)))] {
			for effect := range strings.FieldsSeq(e.Effects) {
				tag, id, w, err := parseEffect(effect)
				if err != nil || want[tag] == nil {
					return nil, fmt.Errorf("the journal's entry of %s is broken: %q", name(of, e.Seq), effect)
				}
				w.worker, w.seq = of.worker, e.Seq
				want[tag][id] = w
			}
		}
	}
	return want, nil
}

// parseEffect reads "c17:0badcafe" or "-o3".
func parseEffect(s string) (tag string, id int64, w wanted, err error) {
	s, w.deleted = strings.CutPrefix(s, "-")
	if s == "" {
		return "", 0, w, strconv.ErrSyntax
	}
	tag, rest := s[:1], s[1:]
	if w.deleted {
		id, err = strconv.ParseInt(rest, 10, 64)
		return tag, id, w, err
	}
	number, sum, _ := strings.Cut(rest, ":")
	crc, err := strconv.ParseUint(sum, 16, 32)
	if err == nil {
		id, err = strconv.ParseInt(number, 10, 64)
	}
	w.crc = uint32(crc)
	return tag, id, w, err
}

// effects compares every stamped row with what it must be, and then asks for
// those that were not met.
func (c *checker) effects(ctx context.Context) error {
	want, err := c.replay()
	if err != nil {
		return err
	}
	for _, t := range transactional() {
		rows := want[t.tag]
		if err := c.compare(ctx, t, rows); err != nil {
			return err
		}
		for id, w := range rows {
			if !w.deleted {
				c.problem("row %d of %s is missing or old: %s wrote it", id, t.name, name(client{"", w.worker}, w.seq))
			}
		}
	}
	return nil
}

// compare takes what it has met out of want.
func (c *checker) compare(ctx context.Context, t table, want map[int64]wanted) error {
	rows, err := c.db.QueryContext(ctx, "SELECT id, w, seq, crc, "+rowCRCSQL(t)+" FROM "+c.schema+"."+t.name+" WHERE seq <> 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id   int64
			got  wanted
			real uint32
		)
		if err := rows.Scan(&id, &got.worker, &got.seq, &got.crc, &real); err != nil {
			return err
		}
		c.Rows++
		w, ok := want[id]
		if ok {
			delete(want, id)
		}
		writer := name(client{"", got.worker}, got.seq)
		switch {
		case got.crc != real:
			c.problem("row %d of %s is damaged, %s wrote it", id, t.name, writer)
		case !ok:
			c.problem("row %d of %s is of %s, which is not there", id, t.name, writer)
		case w.deleted:
			c.problem("row %d of %s is there, %s deleted it", id, t.name, name(client{"", w.worker}, w.seq))
		case w != got:
			c.problem("row %d of %s is of %s, and must be of %s", id, t.name, writer, name(client{"", w.worker}, w.seq))
		}
	}
	return rows.Err()
}
