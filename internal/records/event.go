package records

import (
	"context"
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

func addEvents(c conn, job coffer.JobID, events []coffer.Event, now time.Time) error {
	for _, e := range events {
		ok, err := c.changed(`UPDATE jobs SET events = events + 1 WHERE id = ? AND events < ?`, job, MaxEvents)
		if err != nil || !ok {
			return err
		}
		id, _, err := one(c, scanInt, `SELECT events FROM jobs WHERE id = ?`, job)
		if err != nil {
			return err
		}
		if e.At.IsZero() {
			e.At = now
		}
		if e.Level == "" {
			e.Level = coffer.Info
		}
		if id == MaxEvents {
			e = coffer.Event{At: now, Level: coffer.Warn, Code: "events.full", Text: "the diary is full; later events are not kept"}
		}
		facts, err := factsText(e.Facts)
		if err != nil {
			return err
		}
		if _, err := c.exec(`INSERT INTO events (job, id, at, level, code, body, facts) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			job, id, micros(e.At), clip(string(e.Level), maxWord), clip(e.Code, maxWord), clip(e.Text, maxText), facts); err != nil {
			return err
		}
	}
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
