package rest

import (
	"time"

	"github.com/cofferdb/coffer"
)

// Job is one run of anything long.
type Job struct {
	ID        coffer.JobID      `json:"id"`
	Kind      coffer.JobKind    `json:"kind"`
	Project   coffer.ProjectID  `json:"project_id"`
	Instance  coffer.InstanceID `json:"instance_id,omitempty"`
	Backup    coffer.BackupID   `json:"backup_id,omitempty"`
	State     coffer.State      `json:"state"`
	Runner    coffer.Runner     `json:"runner,omitempty"`
	Phase     string            `json:"phase,omitempty"`
	Progress  coffer.Progress   `json:"progress"`
	Cancel    bool              `json:"cancel"` // somebody asked to stop it
	Lost      bool              `json:"lost"`   // its runner is gone
	Error     *Error            `json:"error,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
	EndedAt   *time.Time        `json:"ended_at,omitempty"`
}

// Error is why something failed, and what to do about it.
type Error struct {
	Kind    coffer.Kind `json:"kind"`
	Message string      `json:"message"`
	Hint    string      `json:"hint,omitempty"`
}

// JobBody wraps one job.
type JobBody struct {
	Job Job `json:"job"`
}

// Jobs is one page, the newest first. Next is the offset of the following page;
// absent on the last one.
type Jobs struct {
	Jobs []Job `json:"jobs"`
	Next *int  `json:"next,omitempty"`
}

// Events are a job's diary after some id, the oldest first. Job is the job as it
// stood when they were read, so that a waiter sees the end.
type Events struct {
	Events []coffer.Event `json:"events"`
	Job    Job            `json:"job"`
}

// Fault is an error's body: one key that names the class, as Trove does, and in
// it the kind and the hint as well.
type Fault map[string]FaultBody

// FaultBody is what a Fault holds.
type FaultBody struct {
	Code    int         `json:"code"`
	Message string      `json:"message"`
	Kind    coffer.Kind `json:"kind"`
	Hint    string      `json:"hint,omitempty"`
}
