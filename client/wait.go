package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// How a waiter asks: each request is held by the server for so long, and a server
// that does not answer is asked again, ever more slowly, for so long.
const (
	holdFor  = 10 * time.Second
	giveUp   = 2 * time.Minute
	firstGap = 200 * time.Millisecond
	lastGap  = 5 * time.Second
)

// Events reads a job's diary after an event's id. wait > 0 lets the server hold
// the answer until there is something new, the job ends, or the time is over.
func (c *Client) Events(ctx context.Context, j coffer.JobID, after int64, wait time.Duration) (rest.Events, error) {
	v := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {"1000"}}
	setNumber(v, "wait", int(wait/time.Second))
	var out rest.Events
	err := c.do(ctx, "read the events", call{method: http.MethodGet, path: "/jobs" + id(j) + "/events", own: true, query: v}, &out)
	return out, err
}

// Wait follows a job to its end and calls see (may be nil) with each batch of
// events and the job as it stood then, about every every (0: when something
// happens, at most 10 s apart). A job that FAILED is an error with its kind, text
// and hint; the job is given in either case. When ctx ends the job runs on: Wait
// cancels nothing.
func (c *Client) Wait(ctx context.Context, j coffer.JobID, every time.Duration, see func(rest.Events)) (rest.Job, error) {
	w := waiter{c: c, job: j, see: see}
	hold := holdFor
	if every > 0 {
		hold = 0
	}
	for {
		ev, err := w.ask(ctx, hold)
		if err != nil {
			return ev.Job, err
		}
		if !ev.Job.State.Running() && len(ev.Events) == 0 {
			return ev.Job, outcome(ev.Job)
		}
		if every > 0 {
			if err := pause(ctx, every); err != nil {
				return ev.Job, err
			}
		}
	}
}

type waiter struct {
	c     *Client
	job   coffer.JobID
	see   func(rest.Events)
	after int64
}

// ask reads the next events; a server that is away for a while is asked again.
func (w *waiter) ask(ctx context.Context, hold time.Duration) (rest.Events, error) {
	start, gap := time.Now(), firstGap
	for {
		ev, err := w.c.Events(ctx, w.job, w.after, hold)
		if err == nil {
			if n := len(ev.Events); n > 0 {
				w.after = ev.Events[n-1].ID
			}
			if w.see != nil {
				w.see(ev)
			}
			return ev, nil
		}
		if !coffer.IsKind(err, coffer.KindUnavailable) || ctx.Err() != nil || time.Since(start) > giveUp {
			return ev, err
		}
		if err := pause(ctx, gap); err != nil {
			return ev, err
		}
		gap = min(2*gap, lastGap)
	}
}

// outcome is the error of a job that ended badly.
func outcome(j rest.Job) error {
	if j.State != coffer.Failed && j.State != coffer.DeleteFailed {
		return nil
	}
	err := coffer.E(coffer.KindInternal, string(j.Kind), "job %s failed", j.ID)
	if j.Error != nil {
		err = coffer.E(j.Error.Kind, string(j.Kind), "%s", j.Error.Message)
		err.Hint = j.Error.Hint
	}
	return err
}
