package rest

import (
	"time"

	"github.com/cofferdb/coffer"
)

// Backup is what Trove has no words for about a backup.
type Backup struct {
	ID        coffer.BackupID   `json:"id"`
	Project   coffer.ProjectID  `json:"project_id"`
	Instance  coffer.InstanceID `json:"instance_id,omitempty"`
	Name      string            `json:"name"`
	State     coffer.State      `json:"state"`
	Parent    coffer.BackupID   `json:"parent_id,omitempty"`
	Root      coffer.BackupID   `json:"root_id"`
	Depth     int               `json:"depth"` // links from the full
	Type      string            `json:"type"`  // full, incremental
	Method    string            `json:"method"`
	Datastore coffer.Datastore  `json:"datastore"`
	Store     string            `json:"store"`
	Container string            `json:"container"`
	Location  string            `json:"location,omitempty"`
	Manifest  string            `json:"manifest_sha256,omitempty"`
	Origin    coffer.Origin     `json:"origin,omitempty"` // "trove": brought in; manifest_sha256 is of its stored bytes
	Key       coffer.KeyID      `json:"key_id,omitempty"`
	Position  coffer.Position   `json:"position"`
	Sizes     coffer.Sizes      `json:"sizes"`
	Refs      int               `json:"refs"` // backups that stand on it
	Pins      int               `json:"pins"` // restores and verifies that read it now
	// Synthesized is the link whose chain was joined into this full; "" otherwise.
	Synthesized coffer.BackupID `json:"synthesized_from,omitempty"`
	Dying       bool            `json:"dying"`
	Deleting    bool            `json:"deleting"`
	Verified    *coffer.Verdict `json:"verified,omitempty"` // absent: never
	Error       *Error          `json:"error,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	EndedAt     *time.Time      `json:"ended_at,omitempty"`
}

// BackupBody wraps one backup and the chain that it stands on, the full first.
type BackupBody struct {
	Backup Backup            `json:"backup"`
	Chain  []coffer.BackupID `json:"chain"`
}

// Restore asks for a restore. With Target.Dir the files only go into that folder
// of the host; else a new instance is made, named Target.Name.
type Restore struct {
	Backup coffer.BackupID `json:"backup"`
	Target coffer.Target   `json:"target"`
}

// RestoreBody wraps a Restore.
type RestoreBody struct {
	Restore Restore `json:"restore"`
}

// Started is the answer to what starts a job. Instance is the one that a restore
// makes.
type Started struct {
	Job      Job               `json:"job"`
	Instance coffer.InstanceID `json:"instance_id,omitempty"`
}

// PlanRestoreBody asks what a restore would do.
type PlanRestoreBody struct {
	Target coffer.Target `json:"target"`
}

// RestorePlan is what a restore would do and what would stop it.
type RestorePlan struct {
	Backup    coffer.BackupID   `json:"backup_id"`
	Chain     []PlanLink        `json:"chain"`            // the full first
	Target    coffer.Target     `json:"target"`           // with the agent that was chosen
	Why       string            `json:"why,omitempty"`    // why that agent
	Others    []PlanAgent       `json:"others,omitempty"` // the agents that were passed over, the best first
	Dir       string            `json:"dir"`
	Method    coffer.Way        `json:"method"`
	Reason    string            `json:"reason,omitempty"` // why that method
	ReadBytes int64             `json:"read_bytes"`
	NeedBytes int64             `json:"need_bytes"`
	FreeBytes int64             `json:"free_bytes"`
	Tools     map[string]string `json:"tools,omitempty"`
	Stops     []string          `json:"stops"` // empty: it can be done
	Warnings  []string          `json:"warnings,omitempty"`
}

// PlanAgent is an agent that a restore could have gone to, and why it does not.
type PlanAgent struct {
	ID        coffer.AgentID `json:"id"`
	FreeBytes int64          `json:"free_bytes"`
	Running   int            `json:"running"` // jobs
	Reason    string         `json:"reason"`
}

// PlanLink is one backup of a plan.
type PlanLink struct {
	ID        coffer.BackupID `json:"id"`
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	State     coffer.State    `json:"state"`
	Sizes     coffer.Sizes    `json:"sizes"`
	Encrypted bool            `json:"encrypted"`
}

// RestorePlanBody wraps a restore's plan.
type RestorePlanBody struct {
	Plan RestorePlan `json:"plan"`
}

// DeletePlan is what a delete would remove, in that order, and what would stop it.
type DeletePlan struct {
	Backup    coffer.BackupID `json:"backup_id"`
	Deletes   []PlanLink      `json:"deletes"` // children before parents
	FreeBytes int64           `json:"frees_bytes"`
	Stops     []string        `json:"stops"` // empty: it can be done
}

// DeletePlanBody wraps a delete's plan.
type DeletePlanBody struct {
	Plan DeletePlan `json:"plan"`
}
