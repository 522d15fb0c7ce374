// Package message is every message of Coffer's own, with its types: the whole
// protocol in one sitting. Intent goes down (task manager to agent) as doorbells
// that carry a job's id and nothing to trust; facts come up (agent to conductor).
// An agent has no records: what it may do, and with what, is the answer to Claim.
package message

import (
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// The topics.
var (
	TaskManager = bus.Target{Topic: "taskmanager"}
	Conductor   = bus.Target{Topic: "trove-conductor"}
	// Enrolment looks after instances whose agent has just joined.
	Enrolment = bus.Target{Topic: "enrolment"}
)

// GuestAgent is the topic of the agent beside one instance.
func GuestAgent(id coffer.InstanceID) bus.Target {
	return bus.Target{Topic: "guestagent." + string(id)}
}

// HostAgent is the topic of an agent itself: restores, registrations.
func HostAgent(id coffer.AgentID) bus.Target { return bus.Target{Topic: "hostagent." + string(id)} }

// None is no body.
type None struct{}

// JobRef names a job. The receiver reads the row again.
type JobRef struct {
	Job coffer.JobID `json:"job"`
}

// To the task manager: a job row has work for you.
var Dispatch = bus.Method[JobRef, None]{Name: "dispatch"}

// To the enrolment: an instance whose agent lives waits to be looked at.
var Enrolled = bus.Method[InstanceRef, None]{Name: "enrolled"}

// Waits reports whether in is registered and its agent, which has joined since, has
// not been asked to look at it.
func Waits(in coffer.Instance) bool {
	return in.Status == "BUILD" && in.Kind == coffer.Registered && in.Agent != "" && !in.Deleted
}

// To an agent. Start: a job waits to be claimed. Cancel: its row says cancel.
// Forget: an instance was deleted. Register: look after this server (Call).
// Look: probe a restore target or an instance for a plan (Call). Tables: list those
// of a chain from its indexes (Call).
var (
	Start    = bus.Method[JobRef, None]{Name: "start"}
	Cancel   = bus.Method[JobRef, None]{Name: "cancel"}
	Forget   = bus.Method[InstanceRef, None]{Name: "forget"}
	Register = bus.Method[RegisterArgs, RegisterReply]{Name: "register"}
	Look     = bus.Method[LookArgs, LookReply]{Name: "look"}
	Tables   = bus.Method[TablesArgs, TablesReply]{Name: "tables"}
)

// InstanceRef names an instance.
type InstanceRef struct {
	Instance coffer.InstanceID `json:"instance"`
}

// RegisterArgs asks an agent to look after a running server.
type RegisterArgs struct {
	Instance  coffer.InstanceID `json:"instance"`
	Project   coffer.ProjectID  `json:"project"`
	Conn      coffer.Conn       `json:"conn"`
	StoreName string            `json:"store"`
}

// RegisterReply is what the agent saw, and the probe object that it wrote into
// the store for the control plane to read back.
type RegisterReply struct {
	Datastore   coffer.Datastore `json:"datastore"`
	Conn        coffer.Conn      `json:"conn"` // with DataDir filled in
	DataBytes   int64            `json:"data_bytes"`
	ProbeObject string           `json:"probe_object"`
	ProbeSHA256 string           `json:"probe_sha256"`
	Warnings    []string         `json:"warnings,omitempty"`
}

// LookArgs asks what a restore would meet.
type LookArgs struct {
	Target coffer.Target `json:"target"`
	Need   int64         `json:"need"` // bytes
	// The chain that would be restored, if its keys are to be tried.
	Project coffer.ProjectID `json:"project,omitempty"`
	Chain   []Link           `json:"chain,omitempty"`
	Conn    coffer.Conn      `json:"conn,omitzero"` // of the server that a table goes into
}

// LookReply is what it would meet; Stops says what would stop it.
type LookReply struct {
	Dir   string            `json:"dir"`
	Free  int64             `json:"free"`
	Tools map[string]string `json:"tools"` // name → path and version
	Stops []string          `json:"stops,omitempty"`
	// Of one table: stored bytes that are read, about, and space that is needed.
	Read int64 `json:"read,omitempty"`
	Need int64 `json:"need,omitempty"`
}

// TablesArgs asks for one page of the tables of a chain, behind a table.
type TablesArgs struct {
	Project coffer.ProjectID `json:"project"`
	Chain   []Link           `json:"chain"`
	After   [2]string        `json:"after"` // database and table
	Limit   int              `json:"limit"`
}

// TablesReply is a page by database and name. Stored and Plain are what is read with
// any one of the tables.
type TablesReply struct {
	Tables []TableRow `json:"tables"`
	More   bool       `json:"more,omitempty"`
	Plain  int64      `json:"plain"`
	Stored int64      `json:"stored"`
}

// TableRow is one table, in bytes.
type TableRow struct {
	Database   string `json:"database"`
	Name       string `json:"name"`
	Engine     string `json:"engine,omitempty"`
	Partitions int    `json:"partitions,omitempty"`
	Size       int64  `json:"size"`
	Plain      int64  `json:"plain"`
	Stored     int64  `json:"stored"`
}

// To the conductor. All but Report and Heartbeat are calls that are repeated
// until answered, and answer the same when repeated.
var (
	Claim     = bus.Method[ClaimArgs, Order]{Name: "claim"}
	Commit    = bus.Method[CommitArgs, CommitReply]{Name: "commit"}
	Report    = bus.Method[ReportArgs, None]{Name: "report"}
	Done      = bus.Method[DoneArgs, DoneReply]{Name: "done"}
	Heartbeat = bus.Method[HeartbeatArgs, HeartbeatReply]{Name: "heartbeat"}
)

// ClaimArgs asks for a job: NEW → BUILDING for this runner, once and for ever.
type ClaimArgs struct {
	Job    coffer.JobID  `json:"job"`
	Runner coffer.Runner `json:"runner"`
}

// Order is all that a runner needs. KindConflict answers a claim that came too
// late.
type Order struct {
	Job          coffer.JobID          `json:"job"`
	Kind         coffer.JobKind        `json:"kind"`
	Project      coffer.ProjectID      `json:"project"`
	Installation coffer.InstallationID `json:"installation"`
	Instance     coffer.Instance       `json:"instance"`
	Store        string                `json:"store"`
	Container    string                `json:"container"`
	// Backup: the link that the new one stands on (nil is a full), the last of
	// Chain.
	Parent *Link  `json:"parent,omitempty"`
	Root   string `json:"root,omitempty"`
	Depth  int    `json:"depth,omitempty"`
	// The chain that is stood on or restored, the full first; and where a
	// restore goes.
	Chain  []Link         `json:"chain,omitempty"`
	Target *coffer.Target `json:"target,omitempty"`
	Cancel bool           `json:"cancel,omitempty"`
	// Method makes a backup in place of the agent's own choice; "" is that.
	Method string `json:"method,omitempty"`
	// Wanted is the container that Container stands in for, since another project has
	// it; "" is none.
	Wanted string `json:"wanted,omitempty"`
}

// Synthesis is the kind of an order whose job is a backup that joins Chain into a
// full: an agent that does not know it takes no backup of the database in its place.
const Synthesis coffer.JobKind = "synthesize"

// Link is one backup of a chain as a runner needs it.
type Link struct {
	Backup         coffer.BackupID `json:"backup"`
	Store          string          `json:"store"`
	Container      string          `json:"container"`
	ManifestSHA256 string          `json:"manifest_sha256"`
	Key            coffer.KeyID    `json:"key,omitempty"`
	Position       coffer.Position `json:"position"`
	Sizes          coffer.Sizes    `json:"sizes"`
	// Of Trove's own backups: where the object lies. ManifestSHA256 is then its sum.
	Origin   coffer.Origin `json:"origin,omitempty"`
	Location string        `json:"location,omitempty"`
	Method   string        `json:"method,omitempty"`
}

// CommitArgs asks for the grant: BUILDING → SAVING for this manifest.
type CommitArgs struct {
	Job            coffer.JobID  `json:"job"`
	Runner         coffer.Runner `json:"runner"`
	ManifestSHA256 string        `json:"manifest_sha256"`
}

// CommitReply: Granted, or refused for good (then, and only then, the runner may
// delete what it wrote).
type CommitReply struct {
	Granted bool   `json:"granted"`
	Reason  string `json:"reason,omitempty"`
}

// ReportArgs is the runner's beat, progress and diary. Seq rises by one; a report
// with a Seq that is not higher than the row's is old and is dropped.
type ReportArgs struct {
	Job      coffer.JobID    `json:"job"`
	Runner   coffer.Runner   `json:"runner"`
	Seq      uint64          `json:"seq"`
	Beat     uint64          `json:"beat"`
	Phase    string          `json:"phase,omitempty"`
	Progress coffer.Progress `json:"progress"`
	Data     int64           `json:"data_bytes,omitempty"`
	Events   []coffer.Event  `json:"events,omitempty"`
}

// Outcome is a runner's own word on how a job ended.
type Outcome string

// The outcomes. Written: the manifest is there, come and read it. Unknown: the
// commit was asked and this runner cannot say more: look.
const (
	Written Outcome = "written"
	Ended   Outcome = "ended" // a job other than a backup went well
	Failed  Outcome = "failed"
	Unknown Outcome = "unknown"
)

// DoneArgs is the last report of a job.
type DoneArgs struct {
	Job       coffer.JobID      `json:"job"`
	Runner    coffer.Runner     `json:"runner"`
	Seq       uint64            `json:"seq"`
	Outcome   Outcome           `json:"outcome"`
	Kind      coffer.Kind       `json:"kind,omitempty"`
	Error     string            `json:"error,omitempty"`
	Hint      string            `json:"hint,omitempty"`
	Events    []coffer.Event    `json:"events,omitempty"`
	Conn      *coffer.Conn      `json:"conn,omitempty"` // restore: the new server
	Datastore *coffer.Datastore `json:"datastore,omitempty"`
}

// DoneReply is the state that the row has now. A runner may forget the job when
// the state is an end.
type DoneReply struct {
	State coffer.State `json:"state"`
}

// HeartbeatArgs says that an agent lives, and as whom. Hosted are the restored
// servers that it runs.
type HeartbeatArgs struct {
	Agent   coffer.AgentID               `json:"agent"`
	Boot    string                       `json:"boot"`
	Beat    uint64                       `json:"beat"`
	Version string                       `json:"version"`
	Host    bool                         `json:"host"`
	DataDir string                       `json:"data_dir,omitempty"`
	Free    int64                        `json:"free"`
	Health  map[coffer.InstanceID]string `json:"health,omitempty"` // instance → Trove's operating status
	At      time.Time                    `json:"at"`
	// Slots are the instances whose folders lie on this host, running or not.
	Slots []coffer.InstanceID `json:"slots,omitempty"`
}

// HeartbeatReply tells an agent which instances it looks after, and which of its
// slots belong to instances that were deleted: it removes them.
type HeartbeatReply struct {
	Instances []coffer.Instance   `json:"instances,omitempty"`
	Deleted   []coffer.InstanceID `json:"deleted,omitempty"`
}
