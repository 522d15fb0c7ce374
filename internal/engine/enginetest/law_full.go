package enginetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// RunFull holds an engine to the law that makes no increments: each backup restores
// to the source at that time, an increment is refused with the reason, a sink's
// error and a caller's wish end the backup, and what was cut is not restored.
func RunFull(t *testing.T, open func(t *testing.T) (engine.Engine, Source)) {
	for _, law := range []struct {
		name string
		run  func(*testing.T, engine.Engine, Source)
	}{
		{"FullRestores", fullRestores},
		{"IncrementIsRefused", incrementIsRefused},
		{"SinkErrorEndsTheBackup", sinkErrorEndsTheFull},
		{"CallerEndsTheBackup", callerEndsTheBackup},
		{"DamagedIsNotRestored", damagedIsNotRestored},
	} {
		t.Run(law.name, func(t *testing.T) {
			t.Parallel()
			e, src := open(t)
			law.run(t, e, src)
		})
	}
}

func fullRestores(t *testing.T, e engine.Engine, src Source) {
	want := src.Content(t)
	l, _, _ := Take(t, e, engine.Base{}, engine.Options{})
	checkEntries(t, l)
	src.Change(t)
	target := src.Target(t)
	if err := e.Restore(t.Context(), target, []engine.Layer{l}); err != nil {
		t.Fatalf("restore: %v (%s)", err, coffer.HintOf(err))
	}
	if got := src.Restored(t, target.Dir); got != want {
		t.Errorf("restored:\n%s\nwant:\n%s", got, want)
	}
}

func incrementIsRefused(t *testing.T, e engine.Engine, src Source) {
	_, base, _ := Take(t, e, engine.Base{}, engine.Options{})
	src.Change(t)
	if _, err := e.Probe(t.Context(), base); !coffer.IsKind(err, coffer.KindInvalid) || coffer.HintOf(err) == "" {
		t.Errorf("Probe of an increment gives %v (hint %q), want KindInvalid and a hint", err, coffer.HintOf(err))
	}
	if _, err := e.Backup(t.Context(), &Recorder{}, base, engine.Options{}); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("an increment was taken: %v", err)
	}
}

func sinkErrorEndsTheFull(t *testing.T, e engine.Engine, src Source) {
	full := errors.New("the sink is full")
	for _, at := range []int64{0, 4096, 1 << 20} {
		r := Recorder{FailAt: at, Err: fmt.Errorf("write: %w", full)}
		if _, err := e.Backup(t.Context(), &r, engine.Base{}, engine.Options{}); !errors.Is(err, full) {
			t.Errorf("after %d bytes: %v, want the sink's own error", at, err)
		}
	}
	src.Change(t)
	Take(t, e, engine.Base{}, engine.Options{})
}

func damagedIsNotRestored(t *testing.T, e engine.Engine, src Source) {
	full, _, _ := Take(t, e, engine.Base{}, engine.Options{})
	cut := *full
	cut.Data = cut.Data[:len(cut.Data)*2/3]
	for name, layers := range map[string][]engine.Layer{
		"cut":     {&cut},
		"twice":   {full, full},
		"nothing": {},
	} {
		if err := e.Restore(t.Context(), src.Target(t), layers); err == nil {
			t.Errorf("%s: it was restored", name)
		}
	}
}
