package records

import (
	"context"

	"github.com/cofferdb/coffer"
)

// move is a job's way to an end: a condition, and what follows when it holds.
type move struct {
	job       coffer.JobID
	to        coffer.State
	e         Ending
	condition string
	args      []any
	// also asks for what the later steps need; may be nil. Whatever they answer, the
	// job's row is taken.
	also func(*bundle)
	// check refuses by what the job was before; may be nil.
	check func(coffer.Job) error
	// missed is the answer when the condition did not hold, by what the job is.
	missed func(coffer.Job) bool
	// done adds what the end means for the job's kind. What it runs itself comes
	// before.
	done func(conn, *bundle, coffer.Job) error
}

// end carries out a move of a job to an end, in two round trips where the database
// takes several statements at once: the job's row is taken and moved, and then all
// follows with the transaction's end.
func (d *DB) end(ctx context.Context, op string, m move) (ok bool, err error) {
	err = d.write(ctx, op, func(c conn) error {
		b := &bundle{}
		was := ask(b, scanLived, `SELECT `+jobCols+`, events FROM jobs WHERE id = ?`+c.forUpdate, m.job)
		moved := m.close(b, len(m.e.Events))
		if m.also != nil {
			m.also(b)
		}
		if err := c.together(b); err != nil {
			return err
		}
		j, found := was.first()
		if !found {
			return errNoJob(m.job)
		}
		if m.check != nil {
			if err := m.check(j.Job); err != nil {
				return err
			}
		}
		if ok = moved.held(); !ok {
			ok = m.missed(j.Job)
			return nil
		}
		b = &bundle{}
		if err := m.follow(c, b, j.Job); err != nil {
			return err
		}
		if _, err := eventsBehind(b, m.job, j.events, m.e.Events, m.e.Now); err != nil {
			return err
		}
		return c.last(b)
	})
	return ok && err == nil, err
}

// carryMove is a move within a transaction that goes on, for a job whose row it has.
func carryMove(c conn, j coffer.Job, m move) (bool, error) {
	b := &bundle{}
	moved := m.close(b, 0)
	if err := c.together(b); err != nil || !moved.held() {
		return false, err
	}
	b = &bundle{}
	if err := m.follow(c, b, j); err != nil {
		return false, err
	}
	return true, c.together(b)
}

// moveToEnd closes a job that pins nothing if the condition holds, within a transaction
// that goes on, and lets go of all that it held. What that means for its kind is left
// to the caller.
func moveToEnd(c conn, job coffer.JobID, to coffer.State, e Ending, condition string, args ...any) (bool, error) {
	j := coffer.Job{ID: job, State: coffer.New} // it may have a bell
	return carryMove(c, j, move{job: job, to: to, e: e, condition: condition, args: args})
}

// lived is a job with the last event's id.
type lived struct {
	coffer.Job
	events int64
}

func scanLived(r row) (l lived, err error) {
	l.Job, err = scanJob(longer{r, &l.events})
	return l, err
}

// longer is a row with one more column.
type longer struct {
	row
	last any
}

// Scan implements row.
func (l longer) Scan(dest ...any) error { return l.row.Scan(append(dest, l.last)...) }

// close adds what closes the job if the condition holds, and counts its last events.
func (m move) close(b *bundle, events int) *step {
	at := micros(orNow(m.e.Now))
	count, args := ``, []any{m.to, m.e.Kind, m.e.Error, m.e.Hint, at, at}
	if events > 0 {
		count, args = `, events = CASE WHEN events < ? THEN events + ? ELSE ? END`, append(args, MaxEvents-events, events, MaxEvents)
	}
	return b.exec(`UPDATE jobs SET state = ?, err_kind = ?, error = ?, hint = ?, updated = ?, ended = ?`+count+`
		WHERE id = ? AND `+m.condition, append(append(args, m.job), m.args...)...)
}

// follow lets go of all that a closed job held; j is what it was before.
func (m move) follow(c conn, b *bundle, j coffer.Job) error {
	if j.Kind == coffer.JobRestore || j.Kind == coffer.JobVerify || j.Spec.Synthesize != "" { // nobody else pins
		if err := unpin(c, j.ID); err != nil {
			return err
		}
	}
	if j.State == coffer.New { // a claim takes the bell away
		b.exec(`DELETE FROM outbox WHERE job = ?`, j.ID)
	}
	vacate(b, j.ID)
	if m.done == nil {
		return nil
	}
	return m.done(c, b, j)
}

// failing is a move to FAILED, with what that means for each kind.
func failing(job coffer.JobID, e Ending, condition string, args ...any) move {
	m := move{job: job, to: coffer.Failed, e: e, condition: condition, args: args}
	var holds *answer[int64]
	m.also = func(b *bundle) { holds = ask(b, scanInt, `SELECT holds FROM backups WHERE id = ?`, job) }
	m.done = func(c conn, b *bundle, j coffer.Job) error {
		switch j.Kind {
		case coffer.JobBackup:
			b.exec(`UPDATE backups SET state = ?, error = ?, hint = ?, updated = ?, ended = ?, sweep = 1 WHERE id = ?`,
				coffer.Failed, e.Error, e.Hint, micros(e.Now), micros(e.Now), j.Backup)
			if holds != nil {
				if n, found := holds.first(); found && n == 0 {
					return nil
				}
			}
			return dropRefs(c, j.Backup)
		case coffer.JobImport: // it has written nothing
			b.exec(`UPDATE backups SET state = ?, error = ?, hint = ?, updated = ?, ended = ? WHERE id = ?`,
				coffer.Failed, e.Error, e.Hint, micros(e.Now), micros(e.Now), j.Backup)
		case coffer.JobRestore:
			settleInstance(b, j.Instance, "ERROR", e.Now)
		case coffer.JobDelete:
			if j.State != coffer.New {
				return deleteFailed(c, j.Backup, e)
			}
			// Nothing was touched.
			if _, err := c.exec(`UPDATE backups SET deleting = 0 WHERE id = ? AND deleted = 0`, j.Backup); err != nil {
				return err
			}
			return giveUpWaiting(c, j.Backup, e)
		}
		return nil
	}
	return m
}
