package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
)

// How long a reader of events may wait for the next one, and how often the
// records are asked meanwhile.
const (
	maxWait   = 60 * time.Second
	pollEvery = 200 * time.Millisecond
)

func orNilTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func problem(kind coffer.Kind, text, hint string) *rest.Error {
	if text == "" {
		return nil
	}
	return &rest.Error{Kind: kind, Message: text, Hint: hint}
}

func jobView(j coffer.Job) rest.Job {
	return rest.Job{
		ID: j.ID, Kind: j.Kind, Project: j.Project, Instance: j.Instance, Backup: j.Backup, State: j.State,
		Runner: j.Runner, Phase: j.Phase, Progress: j.Progress, Cancel: j.Cancel, Lost: j.Lost,
		Error:     problem(j.ErrKind, j.Error, j.Hint),
		CreatedAt: j.Created.UTC(), UpdatedAt: j.Updated.UTC(), EndedAt: orNilTime(j.Ended),
	}
}

// number is a whole number of a query, not negative; absent is def.
func number(r request, key string, def int) (int, error) {
	s := last(r.URL.Query(), key)
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, coffer.E(coffer.KindInvalid, "read the query", "%s must be a whole number, not %q", key, s)
	}
	return n, nil
}

func (a *api) jobList(r request) (reply, error) {
	offset, err := number(r, "marker", 0)
	if err != nil {
		return reply{}, err
	}
	limit, err := number(r, "limit", jobsPage)
	if err != nil {
		return reply{}, err
	}
	limit = max(1, min(limit, records.MaxPage))
	q := r.URL.Query()
	rows, err := a.Records.Jobs(r.Context(), records.JobFilter{
		Project: r.project(), All: r.caller.Admin && truthy(last(q, "all_projects")),
		Kind: coffer.JobKind(last(q, "kind")), State: coffer.State(last(q, "state")),
		Instance: coffer.InstanceID(last(q, "instance")), Backup: coffer.BackupID(last(q, "backup")),
		Offset: offset, Limit: limit,
	})
	if err != nil {
		return reply{}, err
	}
	out := rest.Jobs{Jobs: []rest.Job{}}
	for _, j := range rows {
		out.Jobs = append(out.Jobs, jobView(j))
	}
	if len(rows) == limit {
		next := offset + limit
		out.Next = &next
	}
	return reply{http.StatusOK, out}, nil
}

// job finds a job of the caller's project.
func (a *api) job(r request) (coffer.Job, error) {
	return a.Records.Job(r.Context(), r.project(), coffer.JobID(strings.ToLower(r.PathValue("id"))))
}

func (a *api) jobShow(r request) (reply, error) {
	j, err := a.job(r)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, rest.JobBody{Job: jobView(j)}}, nil
}

func (a *api) jobCancel(r request) (reply, error) {
	j, err := a.job(r)
	if err != nil {
		return reply{}, err
	}
	j, err = a.cancelJob(r, j)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusAccepted, rest.JobBody{Job: jobView(j)}}, nil
}

// cancelJob flags the row, then rings wherever the job may run. The flag is what
// counts: a runner sees it at its next call at the latest.
func (a *api) cancelJob(r request, j coffer.Job) (coffer.Job, error) {
	j, err := a.Records.Cancel(r.Context(), j.Project, j.ID, a.Now())
	if err != nil {
		return coffer.Job{}, err
	}
	to := []bus.Target{message.TaskManager}
	switch {
	case j.Kind == coffer.JobBackup:
		to = append(to, message.GuestAgent(j.Instance))
	case j.Runner != "":
		to = append(to, message.HostAgent(j.Runner.Agent()))
	}
	for _, t := range to {
		if err := message.Cancel.Cast(r.Context(), a.Bus, t, message.JobRef{Job: j.ID}); err != nil {
			a.Log.DebugContext(r.Context(), "a cancel's bell was not heard", "job", j.ID, "topic", t.Topic, "err", err)
		}
	}
	return j, nil
}

// jobEvents reads a job's diary after an event. With wait it answers only when
// there is something new, the job has ended, or the time is over.
func (a *api) jobEvents(r request) (reply, error) {
	after, err := number(r, "after", 0)
	if err != nil {
		return reply{}, err
	}
	limit, err := number(r, "limit", 100)
	if err != nil {
		return reply{}, err
	}
	seconds, err := number(r, "wait", 0)
	if err != nil {
		return reply{}, err
	}
	limit = max(1, min(limit, records.MaxPage))
	ctx, stop := context.WithTimeout(r.Context(), min(time.Duration(min(seconds, 3600))*time.Second, maxWait))
	defer stop()
	return a.awaitEvents(ctx, r, int64(after), limit)
}

func (a *api) awaitEvents(ctx context.Context, r request, after int64, limit int) (reply, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		// The job first: if it has ended, all its events are there when they are read.
		j, err := a.job(r)
		if err != nil {
			return reply{}, err
		}
		events, err := a.Records.Events(r.Context(), j.Project, j.ID, after, limit)
		if err != nil {
			return reply{}, err
		}
		if len(events) > 0 || !j.State.Running() || ctx.Err() != nil {
			if events == nil {
				events = []coffer.Event{}
			}
			return reply{http.StatusOK, rest.Events{Events: events, Job: jobView(j)}}, nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
