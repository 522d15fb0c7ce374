package mysql

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// noTable names the tables that are called most alike.
func noTable(want string, names []string) error {
	type ranked struct {
		name string
		far  int
	}
	var all []ranked
	for _, name := range names {
		if database, _, _ := strings.Cut(name, "."); coffer.SystemDatabase(database) {
			continue
		}
		far := distance(strings.ToLower(want), strings.ToLower(name))
		if _, table, _ := strings.Cut(want, "."); strings.HasSuffix(name, "."+table) {
			far = min(far, 2) // the same name in another database
		}
		if far <= max(2, len(want)/3) {
			all = append(all, ranked{name, far})
		}
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.name, b.name)) })
	var near []string
	for _, r := range all[:min(len(all), 5)] {
		near = append(near, r.name)
	}
	err := coffer.E(coffer.KindNotFound, "find the table in the backup", "there is no %s", want)
	if len(near) == 0 {
		return err.WithHint("list them with: coffer backup tables BACKUP")
	}
	return err.WithHint("there is %s; list all with: coffer backup tables BACKUP", strings.Join(near, ", "))
}

// distance is how many letters must be changed, put in or left out.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		above := row[0]
		row[0] = i + 1
		for j := range y {
			change := above
			if x[i] != y[j] {
				change++
			}
			above = row[j+1]
			row[j+1] = min(change, above+1, row[j]+1)
		}
	}
	return row[len(y)]
}

// LookTable says what RestoreTable would read, need and meet.
func (e *Engine) LookTable(ctx context.Context, o engine.TableOrder, chain []engine.Layer) (engine.TableLook, error) {
	look := engine.TableLook{Tools: map[string]string{}}
	stop := func(err error) {
		look.Stops = append(look.Stops, strings.TrimSuffix(err.Error()+"; "+coffer.HintOf(err), "; "))
	}
	tools, err := e.tableTools(o)
	if err != nil {
		stop(err)
	}
	for name, path := range map[string]string{backupProgram: tools.Backup, "mariadbd": tools.Server, "mariadb-dump": tools.Dump, "mariadb": tools.Client} {
		if path != "" {
			look.Tools[name] = path
		}
	}
	if err := e.checkTable(o, chain); err != nil {
		stop(err)
		return look, nil
	}
	t := &tableRun{engine: e, order: o, tools: tools, chain: chain}
	if o.Load {
		l, err := t.openLoad(ctx)
		if err != nil {
			stop(err)
		} else {
			l.client.close()
		}
	}
	p, spool, err := t.plan(ctx)
	if coffer.IsKind(err, coffer.KindNotFound, coffer.KindUnsupported, coffer.KindCorrupt) {
		stop(err)
		return look, nil
	}
	if err != nil {
		return look, coffer.Wrap(opTable, err)
	}
	defer spool.Close()
	look.Need = p.Bytes() + tableSpare
	for m := range p.Files() {
		c, err := costOf(ctx, chain, m)
		if err != nil {
			return look, coffer.Wrap(opTable, err)
		}
		look.Plain, look.Stored = look.Plain+c.plain, look.Stored+c.stored
	}
	return look, nil
}
