package taskmanager

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/trovestore"
)

// errHandedBack ends a run whose job is NEW again: it waits for another.
var errHandedBack = errors.New("the job was handed back")

// bringIn reads a backup of Trove's to its end and makes it COMPLETED. What it stands on
// is brought in before it, by a job of its own.
func (t *TaskManager) bringIn(ctx context.Context, job coffer.Job, p *progress) error {
	b, err := t.Records.BackupByID(ctx, job.Backup)
	if err != nil {
		return coffer.Wrap("read the backup", err)
	}
	src, l, err := t.source(ctx, b)
	if err != nil {
		return err
	}
	o, err := trovestore.Look(ctx, src, l.Object)
	if err != nil {
		return err
	}
	parent, err := t.importParent(ctx, job, b, l, o)
	if err != nil {
		return err
	}
	f, err := trovestore.Read(ctx, src, o, b.Checksum, func(done, total int64) { p.done.Store(done); p.total.Store(total) })
	if err != nil {
		return err
	}
	done, err := found(b, parent, f)
	if err != nil {
		return err
	}
	done.Now = t.Now()
	end := context.WithoutCancel(ctx)
	ok, err := t.Records.CompleteImport(end, job.ID, job.Runner, done)
	if err != nil || !ok {
		return coffer.Wrap("write that the backup is good", err)
	}
	text := fmt.Sprintf("read to its end: %d bytes stored, %d unpacked; its checksum is the one that was recorded", f.Stored, f.Plain)
	if f.KDF != "" {
		text += "; decrypted by openssl's key derivation " + f.KDF
	}
	t.note(end, job.ID, "brought_in", text)
	return nil
}

func (t *TaskManager) note(ctx context.Context, id coffer.JobID, code, text string) {
	err := t.Records.AddEvents(ctx, id, []coffer.Event{{At: t.Now(), Level: coffer.Info, Code: code, Text: text}})
	if err != nil {
		t.Log.Warn("could not keep an event", "job", id, "err", err)
	}
}

// source opens the container that a backup of Trove's lies in.
func (t *TaskManager) source(ctx context.Context, b coffer.Backup) (trovestore.Source, trovestore.Location, error) {
	l, err := trovestore.ParseLocation(b.Location)
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		return trovestore.Source{}, l, err
	}
	if t.Trove == nil {
		return trovestore.Source{}, l, coffer.E(coffer.KindUnsupported, "open the container of Trove's backup", "this task manager reads none")
	}
	src, err := t.Trove.TroveSource(ctx, b.Store, l)
	return src, l, coffer.Wrap("open the container of Trove's backup", err)
}

// importParent is what the backup stands on, COMPLETED; nil is nothing. Where only the
// object's metadata tells of it, it is brought in first, and this job waits for that.
func (t *TaskManager) importParent(ctx context.Context, job coffer.Job, b coffer.Backup, l trovestore.Location, o trovestore.Object) (*coffer.Backup, error) {
	const op = "find what the backup stands on"
	id := b.Parent
	if o.Parent != "" {
		at, err := trovestore.ParseLocation(o.Parent)
		switch {
		case err != nil:
			return nil, coffer.Wrap(op, err)
		case at.AccountName() != l.AccountName():
			return nil, coffer.E(coffer.KindForbidden, op, "its metadata names %.200q, in another account", o.Parent)
		case id == "":
			if id, err = t.bringParent(ctx, job, b, at, o); err != nil {
				return nil, coffer.Wrap(op, err)
			}
		default:
			if err := t.sameParent(ctx, id, at); err != nil {
				return nil, coffer.Wrap(op, err)
			}
		}
	}
	if id == "" {
		return nil, nil
	}
	parent, err := t.Records.BackupByID(ctx, id)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	switch {
	case parent.Project != b.Project || parent.Deleted:
		return nil, coffer.E(coffer.KindNotFound, op, "backup %s, which it stands on, is not there any more", id)
	case parent.Origin != coffer.OriginTrove:
		return nil, coffer.E(coffer.KindInvalid, op, "backup %s is none of Trove's", id).WithHint("name the backup that Trove took it onto")
	case parent.State.Running():
		return nil, t.handBack(ctx, job, parent.ID)
	case !parent.State.Usable():
		return nil, coffer.E(coffer.KindConflict, op, "backup %s, which it stands on, is %s: %s", id, parent.State, parent.Error).
			WithHint("bring that one in, then this one again")
	}
	return &parent, nil
}

// bringParent makes the import of what the metadata names.
func (t *TaskManager) bringParent(ctx context.Context, job coffer.Job, b coffer.Backup, at trovestore.Location, o trovestore.Object) (coffer.BackupID, error) {
	n := records.NewImport{
		ID: at.ID(), Project: b.Project, Instance: b.Instance, Name: "parent of " + b.Name, Datastore: b.Datastore, Store: b.Store,
		Container: at.Container, Location: at.String(), Checksum: o.ParentChecksum, Size: b.Sizes.Data, Quota: -1, Now: t.Now(),
	}
	n.Name = n.Name[:min(len(n.Name), 255)]
	parent, _, err := t.Records.CreateImport(ctx, n)
	if coffer.IsKind(err, coffer.KindExists) {
		n.ID = "" // the name of the object proves nothing
		parent, _, err = t.Records.CreateImport(ctx, n)
	}
	if err != nil {
		return "", err
	}
	ok, err := t.Records.SetImportParent(ctx, job.ID, job.Runner, parent.ID)
	if err == nil && !ok {
		err = coffer.E(coffer.KindConflict, "note the parent", "the job is another runner's by now")
	}
	return parent.ID, err
}

// sameParent compares what the records say of a parent with what the object says.
func (t *TaskManager) sameParent(ctx context.Context, id coffer.BackupID, at trovestore.Location) error {
	parent, err := t.Records.BackupByID(ctx, id)
	if err != nil {
		return err
	}
	row, err := trovestore.ParseLocation(parent.Location)
	if err != nil {
		return err
	}
	if row.AccountName() != at.AccountName() || row.Container != at.Container || row.Object != at.Object {
		return coffer.E(coffer.KindCorrupt, "compare the parents", "its metadata names %.200q, and backup %s lies at %.200q", at, id, row)
	}
	return nil
}

// handBack makes the job NEW again; it becomes due when its parent's import has ended.
func (t *TaskManager) handBack(ctx context.Context, job coffer.Job, parent coffer.BackupID) error {
	ok, err := t.Records.Requeue(ctx, job.ID, job.Runner, t.Now())
	if err != nil {
		return err
	}
	if !ok {
		return coffer.E(coffer.KindCanceled, "wait for the parent", "the job was cancelled, or is another runner's by now")
	}
	t.note(ctx, job.ID, "waits", "waits until backup "+string(parent)+", which it stands on, is brought in")
	t.awake()
	return errHandedBack
}

// found holds what was read to what it stands on.
func found(b coffer.Backup, parent *coffer.Backup, f trovestore.Facts) (records.Completion, error) {
	const op = "judge Trove's backup"
	done := records.Completion{
		Sizes: coffer.Sizes{Plain: f.Plain, Stored: f.Stored}, Position: f.Position, Manifest: f.SHA256, Location: b.Location,
		Checksum: f.Checksum, Type: "full", Method: string(coffer.MariaBackup), Datastore: b.Datastore,
	}
	if v := f.Position.ServerVersion; v != "" && !strings.Contains(v, "MariaDB") {
		return done, coffer.E(coffer.KindUnsupported, op, "it is of a server %q, made by %q", v, f.Tool).
			WithHint("this version restores what was taken of MariaDB; restore it by its own tool")
	}
	if f.Full {
		return done, nil // also where Trove has a parent of it: some of its tools made no increments
	}
	done.Type = "incremental"
	switch {
	case parent == nil:
		return done, coffer.E(coffer.KindInvalid, op, "it is an increment from LSN %d on, and neither its metadata nor who asked says onto what", f.Position.From).
			WithHint("bring in what it stands on, and name that as its parent; Trove's database knows it, too: coffer trove import")
	case f.Position.From != parent.Position.To:
		return done, coffer.E(coffer.KindCorrupt, op, "it begins at LSN %d, and backup %s, which it is said to stand on, ends at %d",
			f.Position.From, parent.ID, parent.Position.To).WithHint("name the right parent")
	}
	return done, nil
}

// verifyTrove reads a backup of Trove's anew and compares it with what was brought in.
func (t *TaskManager) verifyTrove(ctx context.Context, b coffer.Backup, p *progress) error {
	src, l, err := t.source(ctx, b)
	if err != nil {
		return err
	}
	verr := readTrove(ctx, src, l, b, p)
	if verr != nil && !coffer.IsKind(verr, coffer.KindCorrupt, coffer.KindNotFound) {
		return coffer.Wrap("verify the backup", verr)
	}
	v := coffer.Verdict{At: t.Now().UTC(), OK: verr == nil, Text: "every stored byte is as it was when the backup was brought in"}
	if verr != nil {
		v.Text = verr.Error()
	}
	if err := t.Records.SetVerdict(ctx, b.ID, v); err != nil {
		return coffer.Wrap("keep the verdict", err)
	}
	return verr
}

func readTrove(ctx context.Context, src trovestore.Source, l trovestore.Location, b coffer.Backup, p *progress) error {
	o, err := trovestore.Look(ctx, src, l.Object)
	if err != nil {
		return err
	}
	f, err := trovestore.Read(ctx, src, o, b.Checksum, func(done, total int64) { p.done.Store(done); p.total.Store(total) })
	if err == nil && f.SHA256 != b.Manifest {
		err = coffer.E(coffer.KindCorrupt, "read Trove's backup", "its SHA-256 is %s and not %s, as when it was brought in", f.SHA256, b.Manifest)
	}
	return err
}
