package coffer_test

import (
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
)

func TestTableNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"shop.orders": {"shop", "orders"}, "`a.b`.t": {"a.b", "t"}, "`a``b`.`c d`": {"a`b", "c d"}, "größe.€": {"größe", "€"}, "d.t;drop": {"d", "t;drop"},
	} {
		database, name, err := coffer.ParseTable(text)
		if database != want[0] || name != want[1] || err != nil {
			t.Errorf("%q is %q, %q, %v", text, database, name, err)
		}
		if d, n, err := coffer.ParseTable(coffer.TableText(database, name)); d != database || n != name || err != nil {
			t.Errorf("%q comes back as %q, %q, %v", coffer.TableText(database, name), d, n, err)
		}
	}
	for _, text := range []string{
		"", "t", ".t", "d.", "a.b.c", "`a.t", "`a`t.b", "``.t", "d.`t`x", "../x.t", "d.../../etc", "`../x`.t", "d.`a/b`", "d.t\x00", "d.\xff", "d.t ", "d." + strings.Repeat("x", 65),
	} {
		if d, n, err := coffer.ParseTable(text); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%q is taken as %q, %q: %v", text, d, n, err)
		}
	}
	if got := coffer.QuoteIdentifier("a`b; DROP"); got != "`a``b; DROP`" {
		t.Error(got)
	}
}

func TestTableTargets(t *testing.T) {
	t.Parallel()
	ok := coffer.Table{Database: "shop", Name: "orders"}
	for name, bad := range map[string]func(*coffer.Table){
		"system":       func(x *coffer.Table) { x.Database = "MySQL" },
		"into system":  func(x *coffer.Table) { x.As = "sys" },
		"relative":     func(x *coffer.Table) { x.Dump = "x.sql" },
		"two places":   func(x *coffer.Table) { x.Dump, x.Replace = "/x.sql", true },
		"path":         func(x *coffer.Table) { x.Name = "../t" },
		"into a path":  func(x *coffer.Table) { x.As = "a/b" },
		"long path":    func(x *coffer.Table) { x.Dump = "/" + strings.Repeat("x", 4096) },
		"no name":      func(x *coffer.Table) { x.Name = "" },
		"no such rune": func(x *coffer.Table) { x.Name = "😀" },
	} {
		x := ok
		bad(&x)
		if err := x.Check(); err == nil {
			t.Errorf("%s: %+v passes", name, x)
		}
	}
	const job = coffer.JobID("0a1b2c3d-0000-4000-8000-000000000000")
	ok.As = "copy"
	if d, n := ok.Placed(job); d != "copy" || n != "orders_restored_0a1b2c3d" || ok.Check() != nil {
		t.Errorf("beside it is %s.%s", d, n)
	}
	ok.Replace, ok.As = true, ""
	if d, n := ok.Placed(job); d != "shop" || n != "orders" {
		t.Errorf("in place it is %s.%s", d, n)
	}
	if n := coffer.LongName(strings.Repeat("ä", 64), "_old_0a1b2c3d"); n != strings.Repeat("ä", 51)+"_old_0a1b2c3d" {
		t.Error(n)
	}
	for target, server := range map[*coffer.Target]bool{{Name: "n"}: true, {}: true, {Dir: "/x"}: false, {Table: &ok}: false} {
		if target.Server() != server {
			t.Errorf("%+v makes a server: %v", target, !server)
		}
	}
}
