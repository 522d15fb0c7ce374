package mysql

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/guard"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	good := []string{"Redo log was copied.", "[00] 2026-01-02 03:04:05 completed OK!"}
	ok := map[string][]string{markClosing: {good[1]}}
	for _, c := range []struct {
		name   string
		report guard.Report
		kind   coffer.Kind
		words  string
	}{
		{"good", guard.Report{Marks: ok, Tail: good}, "", ""},
		{"aria", guard.Report{Marks: map[string][]string{markClosing: ok[markClosing],
			markAria: {"[00] Error on aria table file open ./shop/cart.MAI"}}, Tail: good}, coffer.KindUnavailable, "table shop.cart "},
		{"overtaken while it listed", guard.Report{Exit: 1, Marks: map[string][]string{markListing: {"x"}}, Tail: []string{"no such file"}}, coffer.KindUnavailable, "no such file"},
		{"listed and failed later", guard.Report{Exit: 1, Marks: map[string][]string{markListing: {"x"}, markCopying: {"y"}}, Tail: []string{"no such file"}}, coffer.KindTool, "no such file"},
		{"unopened", guard.Report{Marks: map[string][]string{markClosing: ok[markClosing],
			markUnopened: {"InnoDB: Ignoring tablespace for shop/t because it could not be opened."}}, Tail: good}, coffer.KindTool, "shop/t"},
		{"retried and recovered", guard.Report{Marks: map[string][]string{markClosing: ok[markClosing], markRetry: {"x"}}, Tail: good}, "", ""},
		{"retried in vain", guard.Report{Exit: 1, Marks: map[string][]string{markRetry: {"x"}}}, coffer.KindTool, "redo log"},
		{"disk full", guard.Report{Exit: 1, Marks: map[string][]string{markNoSpace: {"write: No space left on device"}}}, coffer.KindNoSpace, "full"},
		{"undo tablespaces changed", guard.Report{Exit: 1, Marks: map[string][]string{
			markUndo: {"--incremental backup is impossible if the server had been restarted with different innodb_undo_tablespaces."}}}, coffer.KindNeedFull, "undo"},
		{"an error before the end", guard.Report{Exit: 1, Tail: []string{"[ERROR] InnoDB: cannot open shop/t", "a", "b", "c", "d", "e"}}, coffer.KindTool, "before that: [ERROR] InnoDB: cannot open shop/t"},
		{"many tables", guard.Report{Exit: 1, Marks: map[string][]string{markFiles: {"InnoDB: Error number 24 means 'Too many open files'"}}}, coffer.KindTool, "open files"},
		{"signal", guard.Report{Exit: -1, Signal: "killed", Tail: []string{"last"}}, coffer.KindTool, "killed"},
		{"silent", guard.Report{Tail: good[:1]}, coffer.KindTool, "closing words"},
	} {
		err := judge("tool", c.report, 16<<20)
		if coffer.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.words) && c.words != "" {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && coffer.HintOf(err) == "" {
			t.Errorf("%s: %v comes without a hint", c.name, err)
		}
	}
}

func TestRulesCompileAndIgnoredSpacesAreRead(t *testing.T) {
	t.Parallel()
	r := rules(engine.Options{MaxBlock: time.Second}, guard.Rules{Silence: time.Minute})
	if r.Silence != time.Minute || r.Stages[3].Max != time.Second {
		t.Errorf("rules %+v", r)
	}
	line := "[00] 2026-11-24 10:44:16 Warning: We assume the  table was dropped during xtrabackup execution and ignore the tablespace ./shop/orders.ibd"
	files, ok := ignoredSpaces(guard.Report{Marks: map[string][]string{markIgnored: {line}}})
	if diff := cmp.Diff([]string{"./shop/orders.ibd"}, files); diff != "" || !ok {
		t.Errorf("%s, %v", diff, ok)
	}
	if _, ok := ignoredSpaces(guard.Report{Marks: map[string][]string{markIgnored: make([]string, mostIgnored+1)}}); ok {
		t.Error("more than can be judged were judged")
	}
}
