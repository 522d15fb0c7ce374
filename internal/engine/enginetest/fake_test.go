package enginetest_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fakeSource struct{ f *enginetest.Fake }

func (s fakeSource) Change(t testing.TB) {
	t.Helper()
	if err := s.f.Add("row " + coffer.NewNonce()); err != nil {
		t.Fatal(err)
	}
}

func (s fakeSource) Content(t testing.TB) string {
	t.Helper()
	rows, err := s.f.Rows()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(rows, "\n")
}

func (s fakeSource) Target(t testing.TB) engine.Target { return engine.Target{Dir: t.TempDir()} }

func (s fakeSource) Restored(t testing.TB, dir string) string {
	t.Helper()
	rows, err := enginetest.ReadRestored(dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(rows, "\n")
}

func TestFakeKeepsTheLaw(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) (engine.Engine, enginetest.Source) {
		f := &enginetest.Fake{Bytes: 1200 << 10, StateFile: filepath.Join(t.TempDir(), "state")}
		src := fakeSource{f}
		src.Change(t)
		return f, src
	})
}

func TestFakeScripts(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	f := &enginetest.Fake{Bytes: 1 << 20, FailErr: broken, FailAt: 300 << 10}
	var r enginetest.Recorder
	if _, err := f.Backup(t.Context(), &r, engine.Base{}, engine.Options{}); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
	if n := r.Len(); n == 0 || n > 300<<10 {
		t.Errorf("%d bytes before the failure", n)
	}
	f = &enginetest.Fake{Hold: 20 * time.Millisecond}
	var phases []string
	opt := engine.Options{Progress: func(p engine.Progress) { phases = append(phases, p.Phase) }}
	_, base, res := enginetest.Take(t, f, engine.Base{}, opt)
	if got := fmt.Sprint(phases); got != "[lock tail]" || res.Holds.Commit != f.Hold {
		t.Errorf("phases %s, holds %v", got, res.Holds)
	}
	if err := f.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Probe(t.Context(), base); !coffer.IsKind(err, coffer.KindNeedFull) {
		t.Errorf("after a rollback Probe gives %v", err)
	}
}
