package records

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// Events reads a job's diary from after an event's id on, in order.
func (d *DB) Events(ctx context.Context, project coffer.ProjectID, job coffer.JobID, after int64, limit int) ([]coffer.Event, error) {
	if _, err := d.Job(ctx, project, job); err != nil {
		return nil, err
	}
	out, err := many(d.reading(ctx), scanEvent,
		`SELECT job, id, at, level, code, body, facts FROM events WHERE job = ? AND id > ? ORDER BY id LIMIT ?`,
		job, after, page(limit, MaxPage))
	return out, coffer.Wrap("read the events", err)
}

// AddEvents writes into a job's diary. Ids are given here, rising within the job;
// texts are clipped, and a job keeps its first MaxEvents.
func (d *DB) AddEvents(ctx context.Context, job coffer.JobID, events []coffer.Event) error {
	return d.write(ctx, "keep the events", func(c conn) error {
		b := &bundle{}
		last := lastEvent(b, job, c)
		if err := c.together(b); err != nil {
			return err
		}
		if _, found := last.first(); !found {
			return errNoJob(job)
		}
		b = &bundle{}
		if err := addEvents(b, job, last, events, time.Now()); err != nil {
			return err
		}
		return c.last(b)
	})
}

// eventRows is how many events one INSERT writes.
const eventRows = 50

// lastEvent asks for the number of a job's last event, and takes the job's row:
// whoever has it has the next numbers.
func lastEvent(b *bundle, job coffer.JobID, c conn) *answer[int64] {
	return ask(b, scanInt, `SELECT events FROM jobs WHERE id = ?`+c.forUpdate, job)
}

// addEvents adds what writes events behind the last.
func addEvents(b *bundle, job coffer.JobID, at *answer[int64], events []coffer.Event, now time.Time) error {
	last, found := at.first()
	if !found {
		return nil
	}
	n, err := eventsBehind(b, job, last, events, now)
	if err != nil || n == 0 {
		return err
	}
	b.exec(`UPDATE jobs SET events = ? WHERE id = ?`, last+int64(n), job)
	return nil
}

// eventsBehind adds the rows of as many events as there is room for behind the last,
// and not that they are there.
func eventsBehind(b *bundle, job coffer.JobID, last int64, events []coffer.Event, now time.Time) (int, error) {
	if len(events) == 0 || last >= MaxEvents {
		return 0, nil
	}
	events = slices.Clone(events[:min(len(events), MaxEvents-int(last))])
	for i := range events {
		events[i].ID = last + int64(i) + 1
	}
	if end := &events[len(events)-1]; end.ID == MaxEvents {
		*end = coffer.Event{ID: MaxEvents, At: now, Level: coffer.Warn, Code: "events.full", Text: "the diary is full; later events are not kept"}
	}
	for some := range slices.Chunk(events, eventRows) {
		if err := insertEvents(b, job, some, now); err != nil {
			return 0, err
		}
	}
	return len(events), nil
}

func insertEvents(b *bundle, job coffer.JobID, events []coffer.Event, now time.Time) error {
	var args []any
	for _, e := range events {
		if e.At.IsZero() {
			e.At = now
		}
		if e.Level == "" {
			e.Level = coffer.Info
		}
		facts, err := factsText(e.Facts)
		if err != nil {
			return err
		}
		args = append(args, job, e.ID, micros(e.At), clip(string(e.Level), maxWord), clip(e.Code, maxWord), clip(e.Text, maxText), facts)
	}
	b.exec(`INSERT INTO events (job, id, at, level, code, body, facts) VALUES `+
		strings.TrimSuffix(strings.Repeat(`(?, ?, ?, ?, ?, ?, ?), `, len(events)), `, `), args...)
	return nil
}

// factsText is the facts as JSON; what is too large is left out.
func factsText(facts map[string]string) (string, error) {
	if len(facts) == 0 {
		return "", nil
	}
	s, err := asJSON(facts)
	if err != nil {
		return "", err
	}
	if len(s) > maxFacts {
		return `{"dropped":"too large"}`, nil
	}
	return s, nil
}

func scanEvent(r row) (e coffer.Event, err error) {
	err = r.Scan(&e.Job, &e.ID, moment{&e.At}, &e.Level, &e.Code, &e.Text, document{&e.Facts})
	return e, err
}
