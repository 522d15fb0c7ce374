package model

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/retry"
)

// place is where the world's archives lie, without any fault.
func (w *world) place() archive.Place {
	return archive.Place{Store: w.mem, Prefix: coffer.Prefix(project, "")}
}

// open opens an archive; the policy is short: nothing here comes later.
func (w *world) open(id coffer.BackupID, sum string) (*archive.Archive, error) {
	return archive.Open(context.Background(), w.place(), id, archive.Want{
		ManifestSHA256: sum, Workers: 1, SpoolDir: w.dir, Retry: retry.Policy{Tries: 1},
	})
}

// line is one line of the fake engine's stream.
type line struct {
	Row  *string `json:"row"`
	From *int    `json:"from"`
	End  *int    `json:"end"`
}

// checkContent reads a backup's whole stream and compares it with the ledger.
func (w *world) checkContent(id coffer.BackupID, sum string) {
	w.t.Helper()
	a, err := w.open(id, sum)
	if err != nil {
		w.t.Errorf("a backup that is COMPLETED cannot be opened: %v", err)
		return
	}
	defer a.Close()
	r, err := a.Stream(context.Background())
	if err != nil {
		w.t.Errorf("backup %s cannot be read: %v", id, err)
		return
	}
	defer r.Close()
	from, end, rows, err := readRows(r)
	if err != nil {
		w.t.Errorf("backup %s cannot be read: %v", id, err)
		return
	}
	i := slices.Index(w.inst[:], a.Manifest().Instance)
	if i < 0 || end > len(w.ledger[i]) || from > end || !slices.Equal(rows, w.ledger[i][from:end]) {
		w.t.Errorf("backup %s of database %d holds rows %v from %d to %d", id, i, rows, from, end)
	}
	if p := a.Manifest().Position; int(p.To-p.Lineage.FirstLSN) != end {
		w.t.Errorf("backup %s says it ends at %d and holds %d rows", id, p.To, end)
	}
}

func readRows(r io.Reader) (from, end int, rows []string, err error) {
	end = -1
	in := bufio.NewScanner(r)
	for in.Scan() {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return 0, 0, nil, err
		}
		switch {
		case l.From != nil:
			from = *l.From
		case l.End != nil:
			end = *l.End
		case l.Row != nil:
			rows = append(rows, *l.Row)
		}
	}
	return from, end, rows, in.Err()
}

// rows gives every backup that is not deleted.
func (w *world) rows() []coffer.Backup {
	w.t.Helper()
	all, err := w.db.Backups(w.ctx, records.BackupFilter{All: true, Limit: records.MaxPage})
	w.must(err)
	return all
}

func (w *world) jobs() []coffer.Job {
	w.t.Helper()
	all, err := w.db.Jobs(w.ctx, records.JobFilter{All: true, Limit: records.MaxPage})
	w.must(err)
	return all
}

// check holds the quiet world to every promise. known are COMPLETED backups that
// older records may have forgotten, stale those that they may believe in though
// they were deleted since.
func (w *world) check(known map[coffer.BackupID]string, stale map[coffer.BackupID]bool) {
	w.t.Helper()
	for _, j := range w.jobs() {
		if j.State.Running() {
			w.t.Errorf("job %s is still %s", j.ID, j.State)
		}
	}
	children, doubtful := map[coffer.BackupID]int{}, map[coffer.BackupID]int{}
	seen := map[coffer.BackupID]coffer.State{}
	for _, b := range w.rows() {
		seen[b.ID] = b.State
		switch b.State {
		case coffer.Failed:
		case coffer.DeleteFailed: // it may have been FAILED before, and then holds nothing
			doubtful[b.Parent]++
		default:
			children[b.Parent]++
		}
		if b.Pins != 0 || b.Deleting {
			w.t.Errorf("backup %s has %d pins, deleting %v, and no job runs", b.ID, b.Pins, b.Deleting)
		}
		w.checkState(b, stale[b.ID])
	}
	for _, b := range w.rows() {
		if least := children[b.ID]; b.State.Usable() && (b.Refs < least || b.Refs > least+doubtful[b.ID]) {
			w.t.Errorf("backup %s has %d refs and %d children", b.ID, b.Refs, children[b.ID])
		}
	}
	for id, sum := range known {
		if _, err := w.db.BackupByID(w.ctx, id); coffer.IsKind(err, coffer.KindNotFound) {
			seen[id] = coffer.Completed
			w.checkContent(id, sum)
		}
	}
	w.checkObjects(seen, known)
}

func (w *world) checkState(b coffer.Backup, stale bool) {
	w.t.Helper()
	switch {
	case b.State == coffer.Completed && !stale:
		w.checkContent(b.ID, b.Manifest)
	case b.State == coffer.Failed && w.forgotten(b.ID): // nobody's to delete, so it must be good
		w.checkContent(b.ID, "")
	case b.State == coffer.Failed:
		if a, err := w.open(b.ID, ""); err == nil {
			a.Close()
			w.t.Errorf("backup %s is FAILED (%s) and can be read", b.ID, b.Error)
		}
		for _, r := range w.objectsOf(b.ID) {
			if r != "intent" && r != "dead" {
				w.t.Errorf("of FAILED backup %s there is still %s", b.ID, r)
			}
		}
	}
}

// forgotten reports whether a backup FAILED before it had a runner, in older records
// that were put back, though it had one and was brought to its end.
func (w *world) forgotten(id coffer.BackupID) bool {
	return w.snap != "" && w.jobRow(coffer.JobID(id)).Runner == "" && slices.Contains(w.objectsOf(id), "manifest")
}

// checkObjects finds what belongs to nobody.
func (w *world) checkObjects(seen map[coffer.BackupID]coffer.State, known map[coffer.BackupID]string) {
	w.t.Helper()
	for _, name := range w.objects() {
		rel := strings.TrimPrefix(name, w.place().Prefix)
		id := coffer.BackupID(rel[:min(36, len(rel))])
		if _, ok := seen[id]; !ok && role(name) == "manifest" && w.snap != "" {
			// Its row was lost with newer records, perhaps before it was COMPLETED.
			w.checkContent(id, "")
			known[id], seen[id] = "", coffer.Completed
		}
	}
	for _, name := range w.objects() {
		rel := strings.TrimPrefix(name, w.place().Prefix)
		id := coffer.BackupID(rel[:min(36, len(rel))])
		if _, ok := seen[id]; !ok && role(name) != "intent" && role(name) != "dead" {
			w.t.Errorf("object %s belongs to no backup", name)
		}
	}
	for u, err := range w.mem.Stale(context.Background(), "") {
		w.must(err)
		w.t.Errorf("the upload of %s was never ended", u.Name)
	}
}

// fatalOnError prints the whole story once.
func (w *world) fatalOnError(t *testing.T, seed uint64) {
	t.Helper()
	if t.Failed() {
		t.Logf("COFFER_SEED=%d\n%s\n%s", seed, w.told(), w.dump())
	}
}
