package records

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// Bounds of one transaction that removes: others wait for no more than this.
const (
	pruneBatch = 500 // short rows
	pruneFew   = 20  // rows with what hangs on them: a job with its diary, a backup with its jobs
)

// Prune removes what has been over since before a moment: the diaries of ended
// jobs, Idempotency-Keys, and deleted backups with their jobs. It says how many
// rows went. A backup stays while anything stands on it or reads it, while it may
// still have to be swept from its store, and while a job about it runs; a job
// outlives its diary.
func (d *DB) Prune(ctx context.Context, before time.Time) (int, error) {
	const op = "remove what is long over"
	at, total := micros(before), 0
	for _, remove := range []func(conn) (int64, error){
		func(c conn) (int64, error) { return pruneKeys(c, at) },
		func(c conn) (int64, error) { return pruneEvents(c, at) },
		func(c conn) (int64, error) { return pruneBackups(c, at) },
	} {
		n, err := d.inBatches(ctx, op, remove)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// inBatches repeats a bounded removal, each in a transaction of its own, until it
// finds nothing more.
func (d *DB) inBatches(ctx context.Context, op string, remove func(conn) (int64, error)) (int, error) {
	total := 0
	for {
		var n int64
		err := d.write(ctx, op, func(c conn) (err error) {
			n, err = remove(c)
			return err
		})
		if err != nil || n == 0 {
			return total, err
		}
		total += int(n)
	}
}

func pruneKeys(c conn, before int64) (int64, error) {
	type key struct{ project, key string }
	old, err := many(c, func(r row) (k key, err error) { return k, r.Scan(&k.project, &k.key) },
		`SELECT project, idem_key FROM idempotency WHERE created < ? ORDER BY created, project, idem_key LIMIT ?`, before, pruneBatch)
	if err != nil {
		return 0, err
	}
	var gone int64
	for _, k := range old {
		n, err := c.exec(`DELETE FROM idempotency WHERE project = ? AND idem_key = ? AND created < ?`, k.project, k.key, before)
		if err != nil {
			return 0, err
		}
		gone += n
	}
	return gone, nil
}

func pruneEvents(c conn, before int64) (int64, error) {
	old, err := many(c, scanString, `SELECT id FROM jobs WHERE ended > 0 AND ended < ? AND events > 0 ORDER BY ended, id LIMIT ?`, before, pruneFew)
	if err != nil {
		return 0, err
	}
	var gone int64
	for _, job := range old {
		// The job's row goes first: whoever adds an event has it too.
		mine, err := c.changed(`UPDATE jobs SET events = 0 WHERE id = ? AND events > 0`, job)
		if err != nil {
			return 0, err
		}
		if !mine {
			continue
		}
		n, err := c.exec(`DELETE FROM events WHERE job = ?`, job)
		if err != nil {
			return 0, err
		}
		gone += n
	}
	return gone, nil
}

func pruneBackups(c conn, before int64) (int64, error) {
	old, err := many(c, scanString, `SELECT id FROM backups WHERE deleted = 1 AND updated < ? AND refs = 0 AND pins = 0 AND sweep = 0
		AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.backup = backups.id AND jobs.state IN (?, ?, ?)) ORDER BY updated, id LIMIT ?`,
		before, coffer.New, coffer.Building, coffer.Saving, pruneFew)
	if err != nil {
		return 0, err
	}
	var gone int64
	for _, id := range old {
		n, err := pruneBackup(c, id)
		if err != nil {
			return 0, err
		}
		gone += n
	}
	return gone, nil
}

// pruneBackup removes one backup and its jobs. A deleted row takes no new jobs, and
// its jobs have ended, so nothing can come in between.
func pruneBackup(c conn, id string) (int64, error) {
	jobs, err := many(c, scanString, `SELECT id FROM jobs WHERE backup = ? ORDER BY id LIMIT ?`, id, MaxPage)
	if err != nil {
		return 0, err
	}
	var gone int64
	for _, job := range jobs {
		for _, from := range []string{`DELETE FROM events WHERE job = ?`, `DELETE FROM jobs WHERE id = ?`} {
			n, err := c.exec(from, job)
			if err != nil {
				return 0, err
			}
			gone += n
		}
	}
	if len(jobs) == MaxPage {
		return gone, nil // the rest goes with the next batch
	}
	n, err := c.exec(`DELETE FROM backups WHERE id = ?`, id)
	return gone + n, err
}
