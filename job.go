package coffer

import "time"

// JobKind says what a job does.
type JobKind string

// The kinds of jobs. Import and Log are reserved.
const (
	JobBackup  JobKind = "backup"
	JobRestore JobKind = "restore"
	JobVerify  JobKind = "verify"
	JobDelete  JobKind = "delete"
	JobImport  JobKind = "import"
	JobLog     JobKind = "log"
)

// Timings of the runner's lease and of the commit. They are part of the
// protocol: both sides use the same ones.
const (
	BeatEvery        = 5 * time.Second  // a runner raises its beat this often
	LeaseLost        = 30 * time.Second // no change seen for this long, on the observer's own clock: lost
	HeartbeatEvery   = 30 * time.Second // an agent says that it is there
	ManifestDeadline = 15 * time.Second // no write of a manifest starts later than this after the grant
)

// Job is one run of anything long. A backup's job has the backup's id.
type Job struct {
	ID       JobID
	Kind     JobKind
	Project  ProjectID
	Instance InstanceID // what it reads or makes
	Backup   BackupID   // what it makes, reads or deletes; "" is none
	State    State
	Runner   Runner // "" until claimed; of what writes or restores a backup never another
	Beat     uint64 // raised by the runner; a lease is a counter, not a time
	Seq      uint64 // of the last report applied
	Phase    string // e.g. "copy", "lock", "upload", "commit"
	Progress Progress
	Cancel   bool
	Lost     bool // the runner was declared lost; the instance is free
	Dying    bool // the verdict "FAILED" has fallen; a tombstone follows
	ErrKind  Kind
	Error    string // why it failed, for a person
	Hint     string // what to do next
	Spec     Spec   // what was asked
	Created  time.Time
	Updated  time.Time
	Ended    time.Time
}

// Progress is how far a job is. Total is an estimate, 0 when unknown.
type Progress struct {
	Done    int64   `json:"done"`  // bytes of the plain stream
	Total   int64   `json:"total"` // bytes
	Stored  int64   `json:"stored,omitempty"`
	Rate    float64 `json:"rate,omitempty"` // bytes a second, of Done
	Detail  string  `json:"detail,omitempty"`
	Started int64   `json:"started,omitempty"` // Unix milliseconds at which the phase began
}

// Spec is what was asked of a job, beyond its columns. It is stored as JSON.
type Spec struct {
	Force  bool    `json:"force,omitempty"`  // delete: children too
	Target *Target `json:"target,omitempty"` // restore
	Method Method  `json:"method,omitempty"` // backup: in place of the agent's own choice
	// Synthesize is the link whose chain a backup's job joins into a full; "" is a
	// backup of the database.
	Synthesize BackupID `json:"synthesize,omitempty"`
	// Wanted is the container that was meant for a backup, where it belongs to another
	// project and another one is used.
	Wanted string `json:"wanted,omitempty"`
	// ManifestSHA256 is set by the commit's grant.
	ManifestSHA256 string `json:"manifest_sha256,omitempty"`
	// Tries is how often a verify or a delete was taken again after its runner was
	// lost: each of its steps can be repeated.
	Tries int `json:"tries,omitempty"`
}

// Target is where a restore goes: a new instance on a host, or a bare folder.
type Target struct {
	Agent  AgentID `json:"agent,omitempty"`  // which host; "" lets plan choose
	Chosen bool    `json:"chosen,omitempty"` // Agent is plan's choice: another may take its place until the job is claimed
	Dir    string  `json:"dir,omitempty"`    // files only, into this folder of the host
	Name   string  `json:"name,omitempty"`   // the new instance's
	Port   int     `json:"port,omitempty"`   // 0 picks a free one
	// Databases are all that is restored of a dump; none is everything.
	Databases []string `json:"databases,omitempty"`
	// Table, if set, is all that is restored, and no server is made.
	Table *Table `json:"table,omitempty"`
	// Way is how the chain is restored; "" leaves that to the chain.
	Way Way `json:"method,omitempty"`
}

// Level grades an event.
type Level string

// The levels of events.
const (
	Info Level = "info"
	Warn Level = "warn"
	Fail Level = "error"
)

// Event is one line in a job's diary. Code is a stable word for programs, e.g.
// "hold.block_ddl", "take_full", "rescued".
type Event struct {
	ID    int64             `json:"id"`
	Job   JobID             `json:"job"`
	At    time.Time         `json:"at"`
	Level Level             `json:"level"`
	Code  string            `json:"code"`
	Text  string            `json:"text"`
	Facts map[string]string `json:"facts,omitempty"`
}
