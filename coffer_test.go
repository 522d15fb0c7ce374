package coffer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferdb/coffer"
)

var states = []coffer.State{
	coffer.New, coffer.Building, coffer.Saving, coffer.Completed, coffer.Failed, coffer.DeleteFailed, coffer.Restored,
}

// Whatever moves are tried, in whatever order, a job that has ended badly never
// becomes good, and one that has ended never runs again.
func TestStatesOnlyGoForward(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := coffer.New
		for range rapid.IntRange(0, 20).Draw(t, "moves") {
			to := rapid.SampledFrom(states).Draw(t, "to")
			if !s.CanBecome(to) {
				continue
			}
			if !s.Running() && (to.Running() || to.Usable()) {
				t.Fatalf("%s became %s", s, to)
			}
			if s == coffer.New && to.Usable() {
				t.Fatalf("%s became %s without a runner", s, to)
			}
			s = to
		}
	})
}

func TestStates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to coffer.State
		want     bool
	}{
		{coffer.New, coffer.Building, true},
		{coffer.New, coffer.Saving, false},
		{coffer.Building, coffer.Saving, true},
		{coffer.Building, coffer.Completed, true},
		{coffer.Saving, coffer.Completed, true},
		{coffer.Saving, coffer.Building, false},
		{coffer.Failed, coffer.Completed, false},
		{coffer.Completed, coffer.Failed, false},
		{coffer.Completed, coffer.DeleteFailed, true},
		{coffer.DeleteFailed, coffer.Completed, false},
	} {
		if got := c.from.CanBecome(c.to); got != c.want {
			t.Errorf("%s → %s: %v", c.from, c.to, got)
		}
	}
	for _, s := range states {
		if !s.Valid() {
			t.Errorf("%s is not valid", s)
		}
	}
	if coffer.State("DONE").Valid() {
		t.Error("DONE is valid")
	}
}

func chain(n int) []coffer.Backup {
	out := make([]coffer.Backup, n)
	for i := range out {
		out[i] = coffer.Backup{ID: coffer.BackupID(fmt.Sprintf("b%d", i)), Project: "p", State: coffer.Completed}
		if i > 0 {
			out[i].Parent = out[i-1].ID
		}
	}
	return out
}

// One broken link, of any kind and anywhere, is found and named.
func TestCheckChain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := chain(rapid.IntRange(1, 12).Draw(t, "links"))
		if err := coffer.CheckChain(c); err != nil {
			t.Fatalf("a sound chain: %v", err)
		}
		i := rapid.IntRange(0, len(c)-1).Draw(t, "broken")
		switch rapid.SampledFrom([]string{"state", "deleting", "deleted", "project", "parent"}).Draw(t, "how") {
		case "state":
			c[i].State = rapid.SampledFrom([]coffer.State{coffer.New, coffer.Building, coffer.Saving, coffer.Failed, coffer.DeleteFailed}).Draw(t, "state")
		case "deleting":
			c[i].Deleting = true
		case "deleted":
			c[i].Deleted = true
		case "project":
			c[i].Project = "q"
			if len(c) == 1 {
				return
			}
		case "parent":
			c[i].Parent = "elsewhere"
		}
		if err := coffer.CheckChain(c); err == nil || !strings.Contains(err.Error(), "backup b") {
			t.Fatalf("link %d is broken: %v", i, err)
		}
	})
	if err := coffer.CheckChain(nil); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("an empty chain: %v", err)
	}
}

func TestPositionStart(t *testing.T) {
	t.Parallel()
	if lsn, ok := (coffer.Position{To: 9, RedoStart: 5}).Start(); lsn != 5 || !ok {
		t.Errorf("got %d, %v", lsn, ok)
	}
	if lsn, ok := (coffer.Position{To: 9}).Start(); lsn != 9 || ok {
		t.Errorf("without a redo start: got %d, %v", lsn, ok)
	}
	if !(coffer.Position{}).Zero() || (coffer.Position{To: 1}).Zero() {
		t.Error("Zero is wrong")
	}
}

// No container name reaches outside its project, and no two share a place.
func TestPrefix(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.String().Draw(t, "a")
		b := rapid.String().Draw(t, "b")
		p := coffer.Prefix("p1", a)
		if !strings.HasPrefix(p, "p1/") || !strings.HasSuffix(p, "/") || strings.Count(p, "/") != 2 {
			t.Fatalf("%q", p)
		}
		name := p[3 : len(p)-1]
		if name == "" || name[0] == '.' || strings.ContainsAny(name, "\\\x00\n ") {
			t.Fatalf("%q is no plain component", name)
		}
		if a == "" {
			a = coffer.DefaultContainer
		}
		if b == "" {
			b = coffer.DefaultContainer
		}
		if a != b && p == coffer.Prefix("p1", b) {
			t.Fatalf("%q and %q share %q", a, b, p)
		}
	})
	long := strings.Repeat("/", 255)
	if p := coffer.Prefix("p", long); len(p) > 210 || p == coffer.Prefix("p", long[1:]) {
		t.Errorf("a long name gives %q", p)
	}
	if got := coffer.Prefix("p", "../q"); got != "p/%2E.%2Fq/" {
		t.Errorf("got %q", got)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such file")
	inner := coffer.E(coffer.KindNotFound, "open the part", "part 3: %w", cause).WithHint("look for %s", "it")
	err := coffer.Wrap("read the archive", inner)
	if got := err.Error(); got != "read the archive: open the part: part 3: no such file" {
		t.Errorf("text %q", got)
	}
	if !errors.Is(err, cause) || !coffer.IsKind(err, coffer.KindNotFound) || coffer.HintOf(err) != "look for it" {
		t.Errorf("cause, kind %q or hint %q is lost", coffer.KindOf(err), coffer.HintOf(err))
	}
	if coffer.Wrap("x", nil) != nil || coffer.KindOf(nil) != "" {
		t.Error("nil is an error")
	}
	for err, want := range map[error]coffer.Kind{
		context.Canceled: coffer.KindCanceled, context.DeadlineExceeded: coffer.KindUnavailable, cause: coffer.KindInternal,
	} {
		if got := coffer.KindOf(fmt.Errorf("step: %w", err)); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	t.Parallel()
	if id := coffer.NewUUID(); !coffer.IsUUID(id) || id[14] != '4' || id == coffer.NewUUID() {
		t.Errorf("%q", id)
	}
	for _, s := range []string{"", "x", strings.Repeat("a", 36), "6a1f0000-0000-0000-0000-00000000000g", "6a1f00000000-0000-0000-0000-00000000"} {
		if coffer.IsUUID(s) {
			t.Errorf("%q is a UUID", s)
		}
	}
	r := coffer.NewRunner("agent", "boot")
	if r.Agent() != "agent" || r.Boot() != "boot" {
		t.Errorf("%q", r)
	}
	for _, p := range []coffer.ProjectID{"", "../x", "a/b", "a b", coffer.ProjectID(strings.Repeat("x", 65)), "ü"} {
		if p.Valid() {
			t.Errorf("project %q is valid", p)
		}
	}
	if !coffer.ProjectID("0123abc_-Z").Valid() {
		t.Error("a plain project is not valid")
	}
}

func TestGiB(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]float64{0: 0.01, 1: 0.01, 1 << 30: 1, 1<<30 + 1<<29: 1.5, 123456789: 0.11} {
		if got := (coffer.Sizes{Data: n}).GiB(); got != want {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
}
