package mysql

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/testenv"
)

func TestTableFileNames(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]tableFile{
		"shop/orders.ibd":                   {"shop", "orders", ".ibd", false},
		"shop/parts#P#p0.ibd":               {"shop", "parts", ".ibd", true},
		"shop/parts#p#p0#sp#s1.MAD":         {"shop", "parts", ".MAD", true},
		"a@002eb/we@0020ird@002e@0060t.frm": {"a.b", "we ird.`t", ".frm", false},
		"d/gr@1i@1je@002d@20ac.ibd":         {"d", "größe-€", ".ibd", false},
		"d/con@@@.frm":                      {"d", "con", ".frm", false},
		"d/a@0023P@0023b.ibd":               {"d", "a#P#b", ".ibd", false},
		"d/x@zz.frm":                        {"d", "#mysql50#x@zz", ".frm", false},
		"d/no-code.frm":                     {"d", "#mysql50#no-code", ".frm", false},
		"d/@4e2d@6587.frm":                  {"d", "中文", ".frm", false},
	} {
		if got, ok := parseTableFile(file); got != want || !ok {
			t.Errorf("%s is %+v, %v", file, got, ok)
		}
	}
	for _, file := range []string{"ibdata1", "d/db.opt", "d/#sql-ib12.ibd", "a/b/c.ibd", "d/.frm"} {
		if got, ok := parseTableFile(file); ok {
			t.Errorf("%s is %+v", file, got)
		}
	}
}

func TestNoSuchTable(t *testing.T) {
	t.Parallel()
	names := []string{"shop.orders", "shop.order_lines", "shop.customers", "old.orders", "mysql.orders"}
	for want, near := range map[string]string{
		"shop.order": "there is shop.orders", "shop.Orders": "there is shop.orders", "prod.orders": "there is old.orders, shop.orders;", "x.nothing_at_all": "list them",
	} {
		err := noTable(want, names)
		if !coffer.IsKind(err, coffer.KindNotFound) || !strings.HasPrefix(coffer.HintOf(err), near) || strings.Contains(coffer.HintOf(err), "mysql.") {
			t.Errorf("%s: %v; %s", want, err, coffer.HintOf(err))
		}
	}
}

// unread is a layer of which nothing may be read.
func unread(id coffer.BackupID, p coffer.Position) engine.Layer {
	return stored{id: id, position: p}
}

// What cannot be is refused before anything is read: a chain that cannot be merged, a
// dump, names of files.
func TestTableIsRefused(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "mariadb-backup", "mariadbd", "mariadb-dump", "mariadb")
	e, err := New(Config{Guard: []string{"/bin/false"}})
	if err != nil {
		t.Fatal(err)
	}
	full := unread("full", coffer.Position{To: 900, RedoStart: 800, PageSize: 16384, PageLists: true})
	inc := unread("inc", coffer.Position{From: 850, To: 1000, RedoStart: 990, PageSize: 16384, PageLists: true})
	dump := *e
	dump.cfg.Method = engine.MySQLDump
	for name, c := range map[string]struct {
		e     *Engine
		o     engine.TableOrder
		chain []engine.Layer
		kind  coffer.Kind
		words string
	}{
		"not merged": {e, engine.TableOrder{Database: "d", Name: "t"}, []engine.Layer{full, inc}, coffer.KindUnsupported, "behind its parent's redo start"},
		"a gap":      {e, engine.TableOrder{Database: "d", Name: "t"}, []engine.Layer{inc}, coffer.KindInvalid, "no full backup"},
		"a dump":     {&dump, engine.TableOrder{Database: "d", Name: "t"}, []engine.Layer{full}, coffer.KindUnsupported, "it is a dump"},
		"a path":     {e, engine.TableOrder{Database: "..", Name: "t"}, []engine.Layer{full}, coffer.KindInvalid, "no name"},
		"system":     {e, engine.TableOrder{Database: "mysql", Name: "user"}, []engine.Layer{full}, coffer.KindForbidden, "own databases"},
	} {
		_, err := c.e.RestoreTable(context.Background(), c.o, c.chain)
		if !coffer.IsKind(err, c.kind) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
		look, err := c.e.LookTable(context.Background(), c.o, c.chain)
		if err != nil || !slices.ContainsFunc(look.Stops, func(s string) bool { return strings.Contains(s, c.words) }) {
			t.Errorf("%s: a look says %q, %v", name, look.Stops, err)
		}
	}
}

func TestForeignKeysOfATable(t *testing.T) {
	t.Parallel()
	v := tableView{create: "CREATE TABLE `c` (\n  `id` int(11) COMMENT 'CONSTRAINT `x` FOREIGN KEY (`a`) REFERENCES',\n  KEY `p` (`p`),\n" +
		"  CONSTRAINT `ch``ild` FOREIGN KEY (`p`) REFERENCES `parent` (`id`) ON DELETE CASCADE,\n  CONSTRAINT `two` FOREIGN KEY (`q`) REFERENCES `o`.`p` (`id`)\n) ENGINE=InnoDB"}
	want := []foreignKey{{"`ch``ild`", "FOREIGN KEY (`p`) REFERENCES `parent` (`id`) ON DELETE CASCADE"}, {"`two`", "FOREIGN KEY (`q`) REFERENCES `o`.`p` (`id`)"}}
	if got := v.foreignKeys(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
