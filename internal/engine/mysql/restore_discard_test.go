package mysql

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// sealedTarget is a restored folder and the time at which it was whole.
func sealedTarget(t *testing.T) (engine.Target, time.Time) {
	t.Helper()
	target, sealed := emptyTarget(t), time.Time{}
	target.Sealed = func(at time.Time) error {
		if _, err := os.Stat(filepath.Join(target.Dir, incompleteMarker)); err != nil {
			t.Errorf("told that all is there, without the mark: %v", err)
		}
		sealed = at
		return nil
	}
	if err := restore(t.Context(), fakeTool(t, "", saysOK), target, smallChain(t)); err != nil {
		t.Fatal(err)
	}
	if sealed.IsZero() || len(list(t, target.Dir)) < 3 {
		t.Fatalf("sealed %v, %q", sealed, list(t, target.Dir))
	}
	return target, sealed
}

// filesAreLater waits until the clock of files, which is coarse, has passed a time.
func filesAreLater(t *testing.T, than time.Time) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "now")
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); <-time.After(time.Millisecond) {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(path); err == nil && fi.ModTime().After(than) {
			return
		}
	}
	t.Fatal("the clock of files stands")
}

func TestDiscardTakesOnlyWhatTheRestoreMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do     func(dir string) error
		unsaid bool        // nobody noted when it was whole
		kind   coffer.Kind // "": the folder is empty after it
	}{
		"nobody came":           {do: func(string) error { return nil }},
		"the mark is there":     {do: func(d string) error { return os.WriteFile(filepath.Join(d, incompleteMarker), nil, 0o600) }, unsaid: true},
		"nothing proves it":     {do: func(string) error { return nil }, unsaid: true, kind: "none"},
		"a file was written":    {do: func(d string) error { return os.WriteFile(filepath.Join(d, "app", "a.ibd"), []byte("x"), 0o600) }, kind: coffer.KindConflict},
		"a file came":           {do: func(d string) error { return os.WriteFile(filepath.Join(d, "mine"), nil, 0o600) }, kind: coffer.KindConflict},
		"a file was given away": {do: func(d string) error { return os.Chmod(filepath.Join(d, "app", "a.frm"), 0o644) }, kind: coffer.KindConflict},
		"a file was renamed":    {do: func(d string) error { return os.Rename(d+"/app/a.frm", d+"/app/b.frm") }, kind: coffer.KindConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, sealed := sealedTarget(t)
			filesAreLater(t, sealed)
			if err := c.do(target.Dir); err != nil {
				t.Fatal(err)
			}
			before := list(t, target.Dir)
			if c.unsaid {
				sealed = time.Time{}
			}
			err := (&Engine{}).Discard(target.Dir, sealed)
			if c.kind == "" || c.kind == "none" {
				if err != nil {
					t.Error(err)
				}
			} else if !coffer.IsKind(err, c.kind) || coffer.HintOf(err) == "" {
				t.Errorf("err = %v, want %s and a hint", err, c.kind)
			}
			want := before
			if c.kind == "" {
				want = nil
			}
			if d := cmp.Diff(want, list(t, target.Dir)); d != "" {
				t.Error(d)
			}
		})
	}
}

// A restore that was killed in an increment has left that one's files beside.
func TestDiscardTakesTheScratchToo(t *testing.T) {
	t.Parallel()
	target := emptyTarget(t)
	beside := filepath.Join(filepath.Dir(target.Dir), ".data-increment-1")
	for _, dir := range []string{beside, filepath.Join(target.Dir, "app")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(target.Dir, incompleteMarker), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&Engine{}).Discard(target.Dir, time.Time{}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(target.Dir))
	if err != nil || len(left) != 1 || len(list(t, target.Dir)) != 0 {
		t.Errorf("%v, %q, %q", err, left, list(t, target.Dir))
	}
	if err := (&Engine{}).Discard(filepath.Join(target.Dir, "none"), time.Time{}); err != nil {
		t.Error(err)
	}
}
