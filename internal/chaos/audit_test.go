package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/rest"
)

// audit asks, when all is calm, for what must hold.
type audit struct {
	f     *fleet
	made  []*made
	dice  *rand.Rand
	tally map[string]int // states and reasons
}

// ends wants every row in an end state within a minute of calm.
func (a *audit) ends() {
	calm := time.Now()
	a.tally = map[string]int{}
	for _, r := range a.f.roles {
		r.checkAlive()
	}
	for _, m := range a.made {
		for {
			b, err := a.f.show(a.f.t.Context(), 0, m.id)
			m.row = b
			if err == nil && !b.State.Running() {
				break
			}
			if time.Since(calm) > time.Minute {
				a.f.t.Errorf("%s %s is %s a minute after calm: %v", m.key, m.id, b.State, err)
				break
			}
			<-time.After(100 * time.Millisecond)
		}
		j, err := a.f.apis[0].Job(a.f.t.Context(), coffer.JobID(m.id))
		if err != nil {
			a.f.t.Errorf("the job of %s: %v", m.key, err)
		}
		m.runner = j.Runner
		a.tally[string(m.row.State)]++
		if e := m.row.Error; e != nil {
			text, _, _ := strings.Cut(e.Message, ": ")
			a.tally[string(e.Kind)+": "+text]++
			a.f.t.Logf("%s %s %s (increment %v, runner %s): %s %s", m.key, m.id, m.row.State, m.inc, m.runner, e.Kind, e.Message)
		}
	}
	a.f.t.Logf("every row has ended %v after calm", time.Since(calm).Round(time.Millisecond))
}

// good are the COMPLETED backups.
func (a *audit) good() []*made {
	return slices.DeleteFunc(slices.Clone(a.made), func(m *made) bool { return m.row.State != coffer.Completed })
}

func (a *audit) failed() []*made {
	return slices.DeleteFunc(slices.Clone(a.made), func(m *made) bool { return m.row.State != coffer.Failed })
}

// runners wants one runner for each id, in its row and in the store, and no FAILED id
// that can be read.
func (a *audit) runners() {
	all := a.f.objects()
	for _, m := range a.made {
		for _, kind := range []string{".intent.json", ".manifest.json"} {
			path := named(all[m.id], kind)
			if path == "" && m.row.State != coffer.Completed {
				continue
			}
			if r := runnerIn(path).Runner; r != m.runner {
				a.f.t.Errorf("%s %s: its row says runner %q, its %s %q", m.key, m.id, m.runner, kind, r)
			}
		}
		if m.row.State == coffer.Failed && named(all[m.id], ".manifest.json") != "" && named(all[m.id], ".dead.json") == "" {
			a.f.t.Errorf("%s %s FAILED and can be read", m.key, m.id)
		}
	}
}

// explained wants a reason for each failure: its runner was killed or stopped while
// it ran, or the failure's kind says that an increment could not be.
func (a *audit) explained() {
	for _, m := range a.failed() {
		e := m.row.Error
		if e == nil || e.Message == "" {
			a.f.t.Errorf("%s %s FAILED without a reason", m.key, m.id)
			continue
		}
		ended := time.Now() // by the clocks of rows nothing can be told: they have jumped
		if !m.seen.IsZero() {
			ended = m.seen
		}
		if e.Kind != coffer.KindNeedFull && !m.shop.agent.disturbed(m.asked, ended) {
			a.f.t.Errorf("%s %s FAILED, and nothing was done to %s between %v and %v: %s %s", m.key, m.id, m.shop.agent.name,
				m.asked.Format(time.TimeOnly), ended.Format(time.TimeOnly), e.Kind, e.Message)
		}
	}
}

// keys wants one backup for each key.
func (a *audit) keys() {
	names := map[string]int{}
	for offset := 0; offset >= 0; {
		page, next, err := a.f.apis[1].Backups(a.f.t.Context(), client.BackupQuery{Offset: offset})
		if err != nil {
			a.f.t.Errorf("list the backups: %v", err)
			return
		}
		for _, b := range page {
			names[b.Name]++
		}
		offset = next
	}
	for name, n := range names {
		if n != 1 {
			a.f.t.Errorf("the key %s made %d backups", name, n)
		}
	}
	if len(names) != len(a.made) {
		a.f.t.Errorf("%d backups were asked for, and there are %d", len(a.made), len(names))
	}
}

// verified reads every byte of every COMPLETED backup.
func (a *audit) verified() {
	var g errgroup.Group
	g.SetLimit(4)
	for _, m := range a.good() {
		g.Go(func() error {
			err := a.job(a.f.t.Context(), func(ctx context.Context, cl *client.Client) (rest.Started, error) { return cl.Verify(ctx, m.id) })
			if err != nil {
				a.f.t.Errorf("verify %s %s: %v", m.key, m.id, err)
			}
			return nil
		})
	}
	_ = g.Wait() // it has said what went wrong
}

// job starts a job and waits for its end.
func (a *audit) job(ctx context.Context, start func(context.Context, *client.Client) (rest.Started, error)) error {
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	defer stop()
	s, err := ask(ctx, a.f, 0, start)
	if err != nil {
		return err
	}
	_, err = a.f.apis[0].Wait(ctx, s.Job.ID, 100*time.Millisecond, nil)
	return err
}

// restored puts n of the COMPLETED backups into folders, increments first, starts a
// server on each and looks for every row that was committed before the backup.
func (a *audit) restored(n int) {
	good := a.good()
	a.dice.Shuffle(len(good), func(i, j int) { good[i], good[j] = good[j], good[i] })
	slices.SortStableFunc(good, func(x, y *made) int { return min(y.row.Depth, 3) - min(x.row.Depth, 3) })
	some := good[:min(n, len(good))]
	if len(good) > n { // some fulls as well
		some = append(slices.Clone(good[:n-3]), good[len(good)-3:]...)
	}
	for i, m := range some {
		dir := a.f.path(fmt.Sprintf("restored%d", i))
		err := a.job(a.f.t.Context(), func(ctx context.Context, cl *client.Client) (rest.Started, error) {
			return cl.Restore(ctx, rest.Restore{Backup: m.id, Target: coffer.Target{Dir: dir, Agent: m.shop.agent.id()}})
		})
		if err != nil {
			a.f.t.Errorf("restore %s %s: %v", m.key, m.id, err)
			continue
		}
		a.holds(m, dir)
	}
}

func (a *audit) holds(m *made, dir string) {
	s := testenv.MariaDB(a.f.t, testenv.MariaDBOptions{DataDir: dir})
	defer s.Kill()
	var n, last int
	err := s.DB(a.f.t).QueryRowContext(a.f.t.Context(), "SELECT COUNT(*), COALESCE(MAX(i), 0) FROM shop.t").Scan(&n, &last)
	if err != nil || n < m.rows || n != last {
		a.f.t.Errorf("%s %s (depth %d) restored %d rows, the last is %d; %d were committed before it: %v", m.key, m.id, m.row.Depth, n, last, m.rows, err)
	}
	a.f.t.Logf("%s restored: depth %d, %d rows of %d", m.key, m.row.Depth, n, m.rows)
}

// gone replaces every agent, and wants that sweeps leave nothing of what FAILED, and
// all of what is COMPLETED.
func (a *audit) gone() {
	for _, r := range a.f.agents {
		r.stop()
		r.start()
	}
	var left []string
	for end := time.Now().Add(90 * time.Second); ; {
		ctx, stop := context.WithTimeout(a.f.t.Context(), time.Minute)
		s, err := a.f.apis[0].Sweep(ctx)
		stop()
		all := a.f.objects()
		left = nil
		for _, m := range a.failed() {
			left = append(left, all[m.id]...)
		}
		if err == nil && len(left)+len(s.Strangers)+len(s.Kept) == 0 {
			break
		}
		if time.Now().After(end) {
			a.f.t.Errorf("of what FAILED there is left %q; the last sweep: %+v, %v", left, s, err)
			break
		}
		<-time.After(500 * time.Millisecond)
	}
	known := map[coffer.BackupID]bool{}
	all := a.f.objects()
	for _, m := range a.made {
		known[m.id] = true
		if m.row.State == coffer.Completed && len(all[m.id]) < 4 {
			a.f.t.Errorf("of the COMPLETED %s there is left %q", m.key, all[m.id])
		}
	}
	for id, names := range all {
		if !known[id] && !strings.Contains(names[0], "/probe/") {
			a.f.t.Errorf("the store holds %q, which nobody asked for", names)
		}
	}
}

// nobodyLeft wants that no guard and no tool outlives the fleet.
func (a *audit) nobodyLeft() {
	var left []other
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		if left = a.f.left(); len(left) == 0 {
			return
		}
	}
	a.f.t.Errorf("left behind: %v", left)
	for _, r := range a.f.agents {
		names, _ := os.ReadDir(r.state + "/agent/journal")
		if len(names) > 0 {
			a.f.t.Errorf("%s keeps %d entries in its journal", r.name, len(names))
		}
	}
}
