package enginetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// Source is the database beneath an engine, as the law needs it.
type Source interface {
	// Change commits some changes.
	Change(t testing.TB)
	// Content is the whole committed content, in a form that can be compared.
	Content(t testing.TB) string
	// Target makes an empty folder to restore into.
	Target(t testing.TB) engine.Target
	// Restored is the content of a restored folder, in the form of Content.
	Restored(t testing.TB, dir string) string
}

// Run holds an engine to the law. Each call of open gives an engine on a fresh
// database that has some content.
func Run(t *testing.T, open func(t *testing.T) (engine.Engine, Source)) {
	for _, law := range []struct {
		name string
		run  func(*testing.T, engine.Engine, Source)
	}{
		{"ChainRestoresToEveryLink", chainRestoresToEveryLink},
		{"StrangeBaseIsRefused", strangeBaseIsRefused},
		{"SinkErrorEndsTheBackup", sinkErrorEndsTheBackup},
		{"CallerEndsTheBackup", callerEndsTheBackup},
		{"DamagedChainIsNotRestored", damagedChainIsNotRestored},
	} {
		t.Run(law.name, func(t *testing.T) {
			t.Parallel()
			e, src := open(t)
			law.run(t, e, src)
		})
	}
}

// Take probes and takes one backup onto base, and returns it as a layer and as
// the base of the next.
func Take(t testing.TB, e engine.Engine, base engine.Base, opt engine.Options) (*Layer, engine.Base, engine.Result) {
	t.Helper()
	if _, err := e.Probe(t.Context(), base); err != nil {
		t.Fatalf("probe: %v (%s)", err, coffer.HintOf(err))
	}
	var r Recorder
	res, err := e.Backup(t.Context(), &r, base, opt)
	if err != nil {
		t.Fatalf("backup: %v (%s)", err, coffer.HintOf(err))
	}
	id := coffer.BackupID(coffer.NewUUID())
	return r.Layer(id, res.Position), engine.Base{Backup: id, Position: res.Position, Summary: res.Summary}, res
}

func chainRestoresToEveryLink(t *testing.T, e engine.Engine, src Source) {
	var (
		base     engine.Base
		layers   []engine.Layer
		contents []string
	)
	for i := range 3 {
		parent := base.Position
		contents = append(contents, src.Content(t))
		l, next, res := Take(t, e, base, engine.Options{})
		checkLink(t, i, parent, res.Position)
		checkEntries(t, l)
		layers, base = append(layers, l), next
		src.Change(t)
	}
	for i := range layers {
		target := src.Target(t)
		if err := e.Restore(t.Context(), target, layers[:i+1]); err != nil {
			t.Fatalf("restore link %d: %v (%s)", i, err, coffer.HintOf(err))
		}
		if got := src.Restored(t, target.Dir); got != contents[i] {
			t.Errorf("link %d restored:\n%s\nwant:\n%s", i, got, contents[i])
		}
	}
}

func checkLink(t *testing.T, i int, parent, p coffer.Position) {
	t.Helper()
	start, _ := parent.Start()
	switch {
	case p.Lineage.Nonce == "" || p.Lineage.Nonce == parent.Lineage.Nonce:
		t.Errorf("link %d: nonce %q after %q", i, p.Lineage.Nonce, parent.Lineage.Nonce)
	case i > 0 && p.Lineage.FirstLSN != parent.Lineage.FirstLSN:
		t.Errorf("link %d: the first LSN changed from %d to %d", i, parent.Lineage.FirstLSN, p.Lineage.FirstLSN)
	case p.From != start:
		t.Errorf("link %d begins at LSN %d, want the parent's start %d", i, p.From, start)
	case p.To < parent.To || p.Last < p.To:
		t.Errorf("link %d: to %d, last %d after to %d", i, p.To, p.Last, parent.To)
	}
}

// checkEntries holds that every chunk lies inside the stream and that a file's
// chunks add up to its size.
func checkEntries(t *testing.T, l *Layer) {
	t.Helper()
	if len(l.Files) == 0 {
		t.Error("no entries")
	}
	for _, e := range l.Files {
		var sum int64
		for _, c := range e.Chunks {
			sum += c.Len
			if c.Plain < 0 || c.Plain+c.Len > l.PlainBytes() {
				t.Errorf("%s: chunk at %d+%d of %d", e.Name, c.Plain, c.Len, l.PlainBytes())
			}
		}
		if len(e.Chunks) > 0 && sum != e.Size {
			t.Errorf("%s: chunks hold %d bytes, size is %d", e.Name, sum, e.Size)
		}
	}
}

func strangeBaseIsRefused(t *testing.T, e engine.Engine, src Source) {
	_, base, _ := Take(t, e, engine.Base{}, engine.Options{})
	for name, spoil := range map[string]func(*engine.Base){
		"nonce":     func(b *engine.Base) { b.Position.Lineage.Nonce = coffer.NewNonce() },
		"no nonce":  func(b *engine.Base) { b.Position.Lineage.Nonce = "" },
		"first LSN": func(b *engine.Base) { b.Position.Lineage.FirstLSN++ },
		"future":    func(b *engine.Base) { b.Position.To += 1 << 40 },
		"summary":   func(b *engine.Base) { b.Summary = nil },
	} {
		bad := base
		spoil(&bad)
		if _, err := e.Probe(t.Context(), bad); !coffer.IsKind(err, coffer.KindNeedFull) || coffer.HintOf(err) == "" {
			t.Errorf("%s: Probe gives %v (hint %q), want KindNeedFull and a hint", name, err, coffer.HintOf(err))
		}
	}
	if _, err := e.Probe(t.Context(), base); err != nil {
		t.Errorf("the right base is refused: %v", err)
	}
}

func sinkErrorEndsTheBackup(t *testing.T, e engine.Engine, src Source) {
	_, base, _ := Take(t, e, engine.Base{}, engine.Options{})
	full := errors.New("the sink is full")
	for _, at := range []int64{0, 4096, 1 << 20} {
		r := Recorder{FailAt: at, Err: fmt.Errorf("write: %w", full)}
		if _, err := e.Backup(t.Context(), &r, engine.Base{}, engine.Options{}); !errors.Is(err, full) {
			t.Errorf("after %d bytes: %v, want the sink's own error", at, err)
		}
	}
	src.Change(t)
	Take(t, e, base, engine.Options{}) // the good parent still is one
}

func callerEndsTheBackup(t *testing.T, e engine.Engine, src Source) {
	why := errors.New("somebody cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	opt := engine.Options{Progress: func(p engine.Progress) {
		if p.Plain > 0 {
			cancel(coffer.E(coffer.KindCanceled, "cancel", "%w", why))
		}
	}}
	_, err := e.Backup(ctx, &Recorder{}, engine.Base{}, opt)
	if !coffer.IsKind(err, coffer.KindCanceled) || !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
	src.Change(t)
	Take(t, e, engine.Base{}, engine.Options{})
}

func damagedChainIsNotRestored(t *testing.T, e engine.Engine, src Source) {
	full, base, _ := Take(t, e, engine.Base{}, engine.Options{})
	src.Change(t)
	one, base, _ := Take(t, e, base, engine.Options{})
	src.Change(t)
	two, _, _ := Take(t, e, base, engine.Options{})
	cut := *one
	cut.Data = cut.Data[:len(cut.Data)*2/3]
	for name, layers := range map[string][]engine.Layer{
		"hole":    {full, two},
		"order":   {full, two, one},
		"no full": {one, two},
		"cut":     {full, &cut},
		"nothing": {},
	} {
		target := src.Target(t)
		if err := e.Restore(t.Context(), target, layers); err == nil {
			t.Errorf("%s: it was restored", name)
		}
	}
}
