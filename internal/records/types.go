package records

import (
	"time"

	"github.com/cofferdb/coffer"
)

// DefaultContainer is where a backup goes when neither its maker nor a strategy
// names a container; Trove's own default.
const DefaultContainer = coffer.DefaultContainer

// The bounds of every listing, and of what a runner may write into a row.
const (
	MaxPage   = 1000   // rows of one page
	MaxAll    = 100000 // rows of a listing that has no pages
	MaxEvents = 10000  // events of one job; later ones are dropped
	maxText   = 4096   // bytes of an error, a hint, an event's text
	maxWord   = 128    // bytes of a phase, a code
	maxFacts  = 8192   // bytes of an event's facts as JSON
)

// NewBackup is what CreateBackup needs to know.
type NewBackup struct {
	Project          coffer.ProjectID
	Instance         coffer.InstanceID
	Name             string
	Description      *string
	Parent           coffer.BackupID // "" and not Incremental: a full
	Incremental      bool            // stand on the newest COMPLETED, if there is one
	Container, Store string          // Container "": a strategy's, or Default
	Default          string          // the container where no strategy names one; "" is DefaultContainer
	Wanted           string          // the container that Container stands in for; "" is none
	Method           coffer.Method   // "" leaves it to the agent
	Key              string          // the Idempotency-Key; "" is none
	Quota            int             // backups of the project; below 0 is no limit
	Now              time.Time
}

// NewJob is what CreateJob needs to know. Backup is what the job reads or deletes.
type NewJob struct {
	Kind     coffer.JobKind
	Project  coffer.ProjectID
	Instance coffer.InstanceID // restore: the new instance's id; "" makes one
	Backup   coffer.BackupID
	Spec     coffer.Spec
	Now      time.Time
}

// Report is a runner's beat, progress and diary.
type Report struct {
	Job       coffer.JobID
	Runner    coffer.Runner
	Seq, Beat uint64
	Phase     string // "" leaves it
	Progress  coffer.Progress
	Data      int64 // Sizes.Data of the backup; only the first is kept
	Events    []coffer.Event
	Now       time.Time
}

// Ending is how a job ended badly.
type Ending struct {
	Kind        coffer.Kind
	Error, Hint string
	Now         time.Time
	Events      []coffer.Event // the last of the diary; not of deletes
}

// Completion is what the control plane read in the commit record.
type Completion struct {
	Sizes                                             coffer.Sizes
	Position                                          coffer.Position
	Manifest, Location, Checksum, Type, Method, Store string
	Key                                               coffer.KeyID
	Datastore                                         coffer.Datastore
	Now                                               time.Time
	Events                                            []coffer.Event // the last of the diary
	Ended                                             time.Time      // of the backup; zero is Now, or just after the newest
}

// BackupFilter chooses backups. Project is needed unless All is set. Deleted
// backups are never shown.
type BackupFilter struct {
	Project       coffer.ProjectID
	All           bool // of every project
	Instance      coffer.InstanceID
	Datastore     string // a type, or a version's id
	Offset, Limit int
}

// JobFilter chooses jobs, the newest first. Project is needed unless All is set.
type JobFilter struct {
	Project       coffer.ProjectID
	All           bool
	Instance      coffer.InstanceID
	Backup        coffer.BackupID
	Kind          coffer.JobKind
	State         coffer.State
	Offset, Limit int
}

// Place is where backups of a project have ever been written.
type Place struct {
	Project   coffer.ProjectID
	Store     string
	Container string
}

func (e Ending) clipped() Ending {
	if e.Kind == "" {
		e.Kind = coffer.KindInternal
	}
	e.Error, e.Hint = clip(e.Error, maxText), clip(e.Hint, maxText)
	e.Now = orNow(e.Now)
	return e
}
