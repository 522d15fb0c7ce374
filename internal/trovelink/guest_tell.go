package trovelink

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// stamps are the times that reports carry. Trove drops a report whose time is not
// after the last one's, so these only rise: over a clock that is set back, over two
// reports of one instant and over a restart.
type stamps struct {
	mu   sync.Mutex
	file string
	now  func() time.Time
	last float64
}

func (s *stamps) open(dir string, now func() time.Time) error {
	s.file, s.now = filepath.Join(dir, "sent"), now
	raw, err := os.ReadFile(s.file)
	if os.IsNotExist(err) {
		return nil
	}
	if err == nil {
		s.last, err = strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
	}
	if err != nil || math.IsNaN(s.last) || math.IsInf(s.last, 0) {
		return coffer.E(coffer.KindCorrupt, "read when the last report was sent", "%s: %v", s.file, err).
			WithHint("remove the file, if the clock is right")
	}
	return nil
}

// next is the present, or a microsecond after the last stamp. It is kept before it is
// used.
func (s *stamps) next() (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := float64(s.now().UnixMicro()) / 1e6
	if t <= s.last {
		t = max(s.last+1e-6, math.Nextafter(s.last, math.Inf(1)))
	}
	if err := replace(s.file, []byte(strconv.FormatFloat(t, 'f', 6, 64))); err != nil {
		return 0, err
	}
	s.last = t
	return t, nil
}

// replace writes a whole file, or leaves the one that is there.
func replace(name string, text []byte) error {
	const op = "write the agent's state"
	f, err := os.CreateTemp(filepath.Dir(name), ".new")
	if err != nil {
		return coffer.E(coffer.KindInternal, op, "%w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return coffer.E(coffer.KindInternal, op, "%w", err)
	}
	return nil
}

// stamped sends one report under the next stamp, before any later one.
func (g *Guest) stamped(send func(sent float64) error) error {
	g.sending.Lock()
	defer g.sending.Unlock()
	sent, err := g.stamps.next()
	if err != nil {
		return err
	}
	return send(sent)
}

// tell sends a report until the broker has it in a queue, or ctx ends. What it carries
// of the request's context goes with it.
func (g *Guest) tell(ctx context.Context, values map[string]any, send func(ctx context.Context, sent float64) error) bool {
	ctx = withContext(ctx, values)
	err := retry.Policy{Min: 200 * time.Millisecond, Max: 5 * time.Second}.Do(ctx, "report to Trove's conductor", func(ctx context.Context) error {
		return g.stamped(func(sent float64) error { return send(ctx, sent) })
	})
	if err != nil {
		g.Log.Warn("could not report; what is in the journal is reported at the next start", "err", err)
	}
	return err == nil
}

// update sends a report on a backup.
func (g *Guest) update(ctx context.Context, r Request, u Update) bool {
	return g.tell(ctx, r.answers(), func(ctx context.Context, sent float64) error {
		u.InstanceID, u.Sent = string(g.Instance), sent
		return updateBackup.Cast(ctx, g.Bus, toConductor, u)
	})
}

// say sends the end of what was asked: well, or with the reason, which becomes the
// instance's fault. Trove has no other place for it.
func (g *Guest) say(ctx context.Context, r Request, failure error) bool {
	if r.Note == nil {
		return true // of a Trove before Mitaka
	}
	return g.tell(ctx, r.answers(), func(ctx context.Context, _ float64) error {
		if failure == nil {
			return notifyEnd.Cast(ctx, g.Bus, toConductor, NoteEnd{Note: r.Note, Args: map[string]any{}})
		}
		note := Note{"instance_id": string(g.Instance)}
		for k, v := range r.Note {
			note[k] = v
		}
		return notifyExcInfo.Cast(ctx, g.Bus, toConductor, NoteFailed{Note: note, Message: clip(text(failure)), Exception: []string{clip(text(failure)) + "\n"}})
	})
}

// text is an error with what to do about it, on one line.
func text(err error) string {
	s := err.Error()
	if h := coffer.HintOf(err); h != "" {
		s += " (" + h + ")"
	}
	return strings.Join(strings.Fields(s), " ")
}

// clip keeps a text within Trove's column.
func clip(s string) string { return clipTo(s, 250) }

func clipTo(s string, n int) string {
	if len(s) > n {
		s = s[:n-3] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
