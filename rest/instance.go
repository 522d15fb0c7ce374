package rest

import (
	"time"

	"github.com/cofferdb/coffer"
)

// Register asks that an agent looks after a running database. Secrets are in the
// file that Conn.CredentialsFile names, on the agent's machine.
type Register struct {
	Name  string         `json:"name"`
	Agent coffer.AgentID `json:"agent"` // may be empty when there is only one
	Conn  coffer.Conn    `json:"conn"`
}

// RegisterBody wraps a Register.
type RegisterBody struct {
	Instance Register `json:"instance"`
}

// Instance is a database that an agent looks after.
type Instance struct {
	ID        coffer.InstanceID   `json:"id"`
	Project   coffer.ProjectID    `json:"project_id"`
	Name      string              `json:"name"`
	Kind      coffer.InstanceKind `json:"kind"`
	Agent     coffer.AgentID      `json:"agent"`
	Datastore coffer.Datastore    `json:"datastore"`
	Status    string              `json:"status"`
	Conn      coffer.Conn         `json:"conn"`
	VolumeGiB int                 `json:"volume_gib"`
	Key       coffer.KeyID        `json:"key_id,omitempty"`
	CreatedAt time.Time           `json:"created_at"`
	UpdatedAt time.Time           `json:"updated_at"`
}

// InstanceBody wraps one instance. Warnings are what the agent noticed when it
// was registered.
type InstanceBody struct {
	Instance Instance `json:"instance"`
	Warnings []string `json:"warnings,omitempty"`
}

// Instances is one page; Next is the marker of the following one, absent on the
// last.
type Instances struct {
	Instances []Instance        `json:"instances"`
	Next      coffer.InstanceID `json:"next,omitempty"`
}

// Agent is a process beside databases.
type Agent struct {
	ID      coffer.AgentID `json:"id"`
	Version string         `json:"version"`
	Host    bool           `json:"host"` // may run restored servers
	DataDir string         `json:"data_dir,omitempty"`
	Free    int64          `json:"free_bytes"`
	SeenAt  time.Time      `json:"seen_at"`
}

// Agents is the whole list.
type Agents struct {
	Agents []Agent `json:"agents"`
}

// Sweep is what one pass over the stores found and did.
type Sweep struct {
	Places    int      `json:"places"`    // containers looked at
	Wiped     int      `json:"wiped"`     // dead backups whose data was removed
	Forgotten int      `json:"forgotten"` // dead backups of which nothing is left now
	Waiting   int      `json:"waiting"`   // orphans that wait for their second listing
	Kept      []string `json:"kept"`      // dead objects that the store refuses to delete
	Strangers []string `json:"strangers"` // objects that are not ours: never touched
}

// SweepBody wraps a sweep's result.
type SweepBody struct {
	Sweep Sweep `json:"sweep"`
}
