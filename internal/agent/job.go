package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/retry"
)

// diary is what a job says of itself while it runs: the reporter sends it.
type diary struct {
	mu       sync.Mutex
	phase    string
	progress coffer.Progress
	from     int64 // what was done when the phase began
	data     int64
	events   []coffer.Event
	seq      uint64
	beat     uint64
	ending   bool          // the last word is said next: it tells all that there is to tell
	news     chan struct{} // told, without waiting, of each new phase; nil tells nobody
}

// maxDiary bounds the events that wait to be sent; the newest are dropped.
const maxDiary = 48

func (d *diary) event(e coffer.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.events) < maxDiary {
		d.events = append(d.events, e)
	}
}

func (d *diary) at(phase string, done, total int64, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.phase != phase || d.progress.Started == 0 {
		d.phase, d.progress.Started, d.progress.Rate, d.from = phase, now.UnixMilli(), 0, done
		select {
		case d.news <- struct{}{}:
		default:
		}
	}
	d.progress.Done, d.progress.Total = done, total
	if s := float64(now.UnixMilli()-d.progress.Started) / 1000; s > 0 {
		d.progress.Rate = float64(done-d.from) / s
	}
}

func (d *diary) stored(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.progress.Stored = n
}

func (d *diary) dataBytes(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.data = n
}

// told says that a report of so many bytes has arrived; they are not sent again.
func (d *diary) told(data int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.data == data {
		d.data = 0
	}
}

// end says that the last word comes next.
func (d *diary) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending = true
}

func (d *diary) ended() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ending
}

// take gives the next report; its events are handed over.
func (d *diary) take(job coffer.JobID, r coffer.Runner) message.ReportArgs {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.news: // this report tells it
	default:
	}
	d.seq++
	d.beat++
	ev := d.events
	d.events = nil
	return message.ReportArgs{
		Job: job, Runner: r, Seq: d.seq, Beat: d.beat, Phase: d.phase,
		Progress: d.progress, Data: d.data, Events: ev,
	}
}

// run does one job from claim to last word. Every way out leaves either an
// answered end or an entry in the journal.
func (a *Agent) run(ctx context.Context, id coffer.JobID) {
	e := entry{Job: id, Runner: a.runner(), Begun: a.Now()}
	var o message.Order
	err := a.call(ctx, "claim the job", func(ctx context.Context) (err error) {
		o, err = message.Claim.Call(ctx, a.Bus, message.Conductor, message.ClaimArgs{Job: id, Runner: e.Runner})
		return err
	})
	a.step("claimed")
	if err != nil {
		a.unclaimed(ctx, e, err)
		return
	}
	e.Kind = o.Kind
	d := &diary{phase: "start", news: make(chan struct{}, 1)}
	bctx, stop := context.WithCancel(a.life) // it beats while a cancelled job is undone, too
	var beats sync.WaitGroup
	beats.Go(func() { a.report(bctx, id, e.Runner, d) })
	word, err := a.do(ctx, o, &e, d)
	if err != nil {
		word = failed(context.Cause(ctx), err)
	}
	if coffer.IsKind(err, coffer.KindNeedFull) {
		d.event(coffer.Event{At: a.Now(), Level: coffer.Warn, Code: "take_full", Text: "no increment can follow, the next backup must be a full: " + err.Error()})
	}
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCancelled) && err != nil && !e.Commit {
		word = ended{Outcome: string(message.Failed), Kind: string(coffer.KindUnavailable),
			Error: "the agent was stopped in the middle of the job", Hint: "start the agent and ask again"}
	}
	a.end(ctx, e, d, word)
	stop()
	beats.Wait()
}

// do runs the job's kind. A nil error means that word says how it ended.
func (a *Agent) do(ctx context.Context, o message.Order, e *entry, d *diary) (ended, error) {
	if o.Cancel {
		return ended{}, errCancelled
	}
	switch o.Kind {
	case coffer.JobBackup:
		return a.backup(ctx, o, e, d)
	case message.Synthesis:
		return a.synthesize(ctx, o, e, d)
	case coffer.JobRestore:
		return a.restore(ctx, o, e, d)
	}
	return ended{}, coffer.E(coffer.KindUnsupported, "run the job", "this agent does not know a %s", o.Kind)
}

// unclaimed ends a job that never became ours, or about which nobody answered.
func (a *Agent) unclaimed(ctx context.Context, e entry, err error) {
	if coffer.IsKind(err, coffer.KindConflict, coffer.KindNotFound) {
		a.forgetEntry(e)
		return
	}
	if a.life.Err() != nil {
		return // the journal ends it in the next life
	}
	// The claim may have happened, also when somebody cancelled it meanwhile:
	// whoever owns the job says how it ended.
	a.end(ctx, e, &diary{}, failed(context.Cause(ctx), coffer.Wrap("claim the job", err)))
}

func failed(cause, err error) ended {
	if errors.Is(cause, errCancelled) {
		return ended{Outcome: string(message.Failed), Kind: string(coffer.KindCanceled), Error: "it was cancelled"}
	}
	return ended{
		Outcome: string(message.Failed), Kind: string(coffer.KindOf(err)),
		Error: err.Error(), Hint: coffer.HintOf(err),
	}
}

// A young job beats oftener: whoever has just asked for it looks.
const (
	youngBeats = 10 // beats of a fifth, before the first whole one
	youngParts = 5
)

// leastPatience is what the answer to a report is waited for, however quick the beats.
const leastPatience = time.Second

// settling is how long a new phase must have lasted to be told: a job that rushes
// through its phases sends a report of where it is, not one of each, and one that has
// ended by then none.
const settling = 200 * time.Millisecond

// report beats until ctx ends, and tells of each new phase that lasts. One report whose
// answer got lost, as with a conductor that was stopped with it in hand, must not keep
// the next from going out in time: the lease runs on.
func (a *Agent) report(ctx context.Context, id coffer.JobID, r coffer.Runner, d *diary) {
	settle := min(settling, a.Config.Beat/youngParts)
	if retry.Sleep(ctx, settle) != nil {
		return
	}
	for beats := 0; ; beats++ {
		wait := a.Config.Beat
		if beats < youngBeats {
			wait /= youngParts
		}
		args, begun := d.take(id, r), time.Now()
		cctx, stop := context.WithTimeout(ctx, min(callTimeout, max(a.Config.Beat, leastPatience)))
		_, err := message.Report.Call(cctx, a.Bus, message.Conductor, args)
		stop()
		if err != nil {
			for _, e := range args.Events {
				d.event(e)
			}
		} else {
			d.told(args.Data)
		}
		if !d.wait(ctx, begun.Add(wait), settle) {
			return
		}
	}
}

// wait returns when the next beat is due, or a new phase has lasted; false says that
// ctx has ended.
func (d *diary) wait(ctx context.Context, beat time.Time, settle time.Duration) bool {
	due := time.NewTimer(time.Until(beat))
	defer due.Stop()
	var lasts <-chan time.Time
	news := d.news
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due.C:
			return true
		case <-news:
			lasts, news = time.After(settle), nil
		case <-lasts:
			if !d.ended() {
				return true
			}
		}
	}
}

// end says the last word until it is answered with an end, or this life ends:
// then the journal says it in the next one.
func (a *Agent) end(ctx context.Context, e entry, d *diary, word ended) {
	e.Ended = &word
	d.end()
	if err := a.journal.put(e); err != nil {
		a.Log.Error("could not note a job's end in the journal", "job", e.Job, "err", err)
	} else {
		a.safe(e.Job)
	}
	a.step("end noted")
	say, stop := a.outlive(ctx)
	defer stop()
	a.say(say, e, d)
}

// lastWords is how long a stopping process goes on with what a journal keeps.
const lastWords = 2 * time.Second

// outlive gives a context that goes on when the job is cancelled, since a cancelled
// job has its say too, and that ends soon after the process was told to stop.
func (a *Agent) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	out, stop := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(a.life, func() {
		_ = retry.Sleep(out, lastWords) // its error is the end that was waited for
		stop()
	})
	return out, func() { detach(); stop() }
}

func (a *Agent) say(ctx context.Context, e entry, d *diary) {
	args := message.DoneArgs{
		Job: e.Job, Runner: e.Runner, Outcome: message.Outcome(e.Ended.Outcome),
		Kind: coffer.Kind(e.Ended.Kind), Error: e.Ended.Error, Hint: e.Ended.Hint,
		Conn: e.Ended.Conn, Datastore: e.Ended.Datastore,
	}
	rep := d.take(e.Job, e.Runner)
	args.Seq, args.Events = rep.Seq, rep.Events
	var state coffer.State
	err := a.call(ctx, "say how the job ended", func(ctx context.Context) error {
		r, err := message.Done.Call(ctx, a.Bus, message.Conductor, args)
		state = r.State
		if err == nil && state.Running() {
			args.Events = nil
			return coffer.E(coffer.KindUnavailable, "", "the control plane is still looking")
		}
		return answer(err)
	})
	if err == nil && state == coffer.Failed && e.Ended.Outcome == string(message.Ended) {
		// It was taken for lost meanwhile: a failed restore leaves nothing behind.
		if err := a.undo(ctx, e); err != nil {
			return // the journal keeps it
		}
	}
	a.step("end answered")
	if err == nil || coffer.IsKind(err, coffer.KindConflict, coffer.KindNotFound) {
		a.forgetEntry(e)
		return
	}
	a.Log.Warn("could not say how a job ended; the journal keeps it", "job", e.Job, "err", err)
}

func (a *Agent) forgetEntry(e entry) {
	if err := a.journal.drop(e); err != nil {
		a.Log.Error("could not remove a journal entry", "job", e.Job, "err", err)
	}
}
