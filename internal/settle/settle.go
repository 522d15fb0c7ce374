// Package settle turns what a store holds of a backup into the row's verdict. It
// is the one place where a backup becomes COMPLETED: only after the control plane
// has itself read the commit record and found every part. The conductor calls it
// when a runner says that it has written, the task manager when a runner is lost.
//
// A verdict of FAILED for a row whose commit was granted falls in this order:
// first in the row (dying), then the tombstone, then a wait of one manifest
// deadline, then FAILED, whatever a later look finds. Readers Stat the tombstone,
// so a runner that was stopped and wakes up cannot make a FAILED backup exist.
package settle

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

// Stores opens the stores of the configuration by name.
type Stores interface {
	// Open gives the store of that name; KindInvalid if there is none.
	Open(ctx context.Context, name string) (store.Full, error)
	// URL is where an object of that store can be found: Trove's locationRef.
	URL(name, object string) string
}

// Records is what settling needs of the metadata.
type Records interface {
	BackupByID(context.Context, coffer.BackupID) (coffer.Backup, error)
	InstanceByID(context.Context, coffer.InstanceID) (coffer.Instance, error)
	Complete(context.Context, coffer.JobID, records.Completion) (bool, error)
	Fail(context.Context, coffer.JobID, coffer.Runner, records.Ending) (bool, error)
	Doom(context.Context, coffer.JobID, time.Time) (bool, error)
	FailDoomed(context.Context, coffer.JobID, records.Ending) (bool, error)
}

// Settler looks and decides.
type Settler struct {
	Records Records
	Stores  Stores
	Now     func() time.Time
	// Failpoint is called at each step of a verdict; tests stop the process
	// there. nil is nothing.
	Failpoint func(step string)
}

func (s *Settler) step(name string) {
	if s.Failpoint != nil {
		s.Failpoint(name)
	}
}

// Place is where a backup's objects are.
func Place(ctx context.Context, stores Stores, storeName string, p coffer.ProjectID, container string) (archive.Place, error) {
	s, err := stores.Open(ctx, storeName)
	if err != nil {
		return archive.Place{}, coffer.Wrap("open the store "+storeName, err)
	}
	return archive.Place{Store: s, Prefix: coffer.Prefix(p, container)}, nil
}

// patience bounds one look: who looks is asked again, or looks again itself.
var patience = retry.Policy{Min: 100 * time.Millisecond, Max: time.Second, For: 5 * time.Second}

// Complete reads the commit record and every part's presence, and moves the row
// to COMPLETED. It reports false without an error when the archive is not whole
// (why says so), and an error when nobody can tell now.
func (s *Settler) Complete(ctx context.Context, job coffer.Job) (done bool, why string, err error) {
	b, err := s.Records.BackupByID(ctx, job.Backup)
	if err != nil {
		return false, "", coffer.Wrap("read the backup's row", err)
	}
	return s.complete(ctx, records.Work{Job: job, Backup: b}, nil)
}

// CompleteWork is Complete for who has just read the rows. said becomes the last of
// the job's diary when the row moves.
func (s *Settler) CompleteWork(ctx context.Context, w records.Work, said []coffer.Event) (done bool, why string, err error) {
	if w.Backup.ID == "" {
		return s.Complete(ctx, w.Job)
	}
	return s.complete(ctx, w, said)
}

func (s *Settler) complete(ctx context.Context, w records.Work, said []coffer.Event) (done bool, why string, err error) {
	job, b := w.Job, w.Backup
	if b.State == coffer.Completed {
		return true, "", nil
	}
	place, err := Place(ctx, s.Stores, b.Store, b.Project, b.Container)
	if err != nil {
		return false, "", err
	}
	a, err := archive.Open(ctx, place, b.ID, archive.Want{ManifestSHA256: b.Manifest, Retry: patience})
	if coffer.IsKind(err, coffer.KindNotFound) {
		return false, "it has left no manifest that can be read", nil
	}
	if err == nil {
		defer a.Close()
		err = a.Check(ctx)
	}
	switch coffer.KindOf(err) {
	case "":
	case coffer.KindNotFound, coffer.KindCorrupt, coffer.KindUnsupported:
		return false, err.Error(), nil // what cannot be read here will not be read later
	default:
		return false, "", coffer.Wrap("read the commit record", err)
	}
	m := a.Manifest()
	// Where these records granted no commit, older ones were put back: the manifest
	// is of a runner that they do not know, and as good as it was.
	foreign := b.Manifest != "" && m.Runner != job.Runner
	if m.Backup != b.ID || m.Project != b.Project || m.Instance != b.Instance || foreign {
		return false, "the manifest belongs to another backup or runner", nil
	}
	if parent(m) != b.Parent || m.Root != b.Root || m.Depth != b.Depth {
		return false, "the manifest stands on another chain than was asked for", nil
	}
	inst := w.Instance
	if inst.ID == "" {
		if inst, err = s.Records.InstanceByID(ctx, b.Instance); err != nil {
			return false, "", coffer.Wrap("read the instance's row", err)
		}
	}
	s.step("looked")
	c := completion(b, m, a.ManifestSHA256(), s.Stores, place, inst, s.Now())
	c.Events = said
	if src := job.Spec.Synthesize; src != "" { // it stands where its source does
		from, err := s.Records.BackupByID(ctx, src)
		if err != nil {
			return false, "", coffer.Wrap("read the row of what was joined", err)
		}
		c.Ended = from.Ended.Add(records.JustBehind)
	}
	ok, err := s.Records.Complete(ctx, job.ID, c)
	if err != nil {
		return false, "", coffer.Wrap("write COMPLETED", err)
	}
	if !ok {
		return false, "the verdict FAILED had fallen before", nil
	}
	return true, "", nil
}

// parent is the backup that a manifest stands on; "" is none.
func parent(m archive.Manifest) coffer.BackupID {
	if m.Parent == nil {
		return ""
	}
	return m.Parent.ID
}

func completion(b coffer.Backup, m archive.Manifest, sum string, st Stores, p archive.Place, in coffer.Instance, now time.Time) records.Completion {
	kind := "full"
	if b.Parent != "" {
		kind = "incremental"
	}
	ds := m.Datastore
	if ds.VersionID == "" {
		ds.VersionID = in.Datastore.VersionID
	}
	c := records.Completion{
		Sizes: m.Sizes, Position: m.Position, Manifest: sum, Type: kind, Method: m.Method,
		Store: b.Store, Key: m.Key, Datastore: ds, Now: now,
	}
	if len(m.Volumes) > 0 {
		c.Location = st.URL(b.Store, p.Prefix+m.Volumes[0].Name)
		c.Checksum = sum[:32]
	}
	return c
}

// Bury lets the verdict FAILED fall on a SAVING row and writes the tombstone.
// It reports whether the row is dying now; the caller waits one manifest deadline
// and calls [Settler.Buried].
func (s *Settler) Bury(ctx context.Context, job coffer.Job) (bool, error) {
	ok, err := s.Records.Doom(ctx, job.ID, s.Now())
	if err != nil || !ok {
		return false, coffer.Wrap("write the verdict", err)
	}
	s.step("dying")
	b, err := s.Records.BackupByID(ctx, job.Backup)
	if err != nil {
		return false, coffer.Wrap("read the backup's row", err)
	}
	place, err := Place(ctx, s.Stores, b.Store, b.Project, b.Container)
	if err != nil {
		return false, err
	}
	defer s.step("tombstone")
	// A store that is away must not keep the rescuer from everybody else's jobs.
	ctx, stop := context.WithTimeout(ctx, 2*patience.For)
	defer stop()
	return true, coffer.Wrap("write the tombstone", archive.Tombstone(ctx, place, b.ID))
}

// Buried ends a dying row FAILED.
func (s *Settler) Buried(ctx context.Context, job coffer.Job, why string) (bool, error) {
	ok, err := s.Records.FailDoomed(ctx, job.ID, Lost(why, s.Now()))
	s.step("buried")
	return ok, err
}

// Lost is the ending of a backup whose runner cannot finish it.
func Lost(why string, now time.Time) records.Ending {
	return records.Ending{
		Kind: coffer.KindUnavailable, Error: "the runner was lost: " + why,
		Hint: "start a new backup; look at the agent's log for why it stopped", Now: now,
	}
}
