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
		if _, err := jobByID(c, job); err != nil {
			return err
		}
		return addEvents(c, job, events, time.Now())
	})
}

// eventRows is how many events one INSERT writes.
const eventRows = 50

// addEvents numbers the events: whoever has the job's row has its next numbers.
func addEvents(c conn, job coffer.JobID, events []coffer.Event, now time.Time) error {
	if len(events) == 0 {
		return nil
	}
	last, found, err := one(c, scanInt, `SELECT events FROM jobs WHERE id = ?`+c.forUpdate, job)
	if err != nil || !found || last >= MaxEvents {
		return err
	}
	events = slices.Clone(events[:min(len(events), MaxEvents-int(last))])
	for i := range events {
		events[i].ID = last + int64(i) + 1
	}
	if end := &events[len(events)-1]; end.ID == MaxEvents {
		*end = coffer.Event{ID: MaxEvents, At: now, Level: coffer.Warn, Code: "events.full", Text: "the diary is full; later events are not kept"}
	}
	for some := range slices.Chunk(events, eventRows) {
		if err := insertEvents(c, job, some, now); err != nil {
			return err
		}
	}
	_, err = c.exec(`UPDATE jobs SET events = ? WHERE id = ?`, last+int64(len(events)), job)
	return err
}

func insertEvents(c conn, job coffer.JobID, events []coffer.Event, now time.Time) error {
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
	_, err := c.exec(`INSERT INTO events (job, id, at, level, code, body, facts) VALUES `+
		strings.TrimSuffix(strings.Repeat(`(?, ?, ?, ?, ?, ?, ?), `, len(events)), `, `), args...)
	return err
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
