package coffer

import (
	"math"
	"time"
)

// Datastore names a database product and its version.
type Datastore struct {
	Type      string `json:"type"`       // "mariadb", "mysql", "postgresql"
	Version   string `json:"version"`    // "10.11"
	VersionID string `json:"version_id"` // a UUID that Trove's clients want
}

// Backup is what a backup job made.
type Backup struct {
	ID          BackupID
	Project     ProjectID
	Instance    InstanceID // "" for an import
	Name        string
	Description *string
	State       State
	Parent      BackupID // "" for a full
	Root        BackupID // the full of its chain; its own id for a full
	Depth       int      // links from the root: 0 is a full
	Type        string   // "full" or "incremental"
	Method      string   // "mariabackup"
	Datastore   Datastore
	Store       string // the store's name in the configuration
	Container   string // as asked, or the strategy's, or the default
	Location    string // Trove's locationRef: a full URL; "" until the end
	Checksum    string
	Manifest    string // SHA-256 of the manifest, hex; "" until granted
	Key         KeyID  // the data key; "" is unencrypted
	Position    Position
	Sizes       Sizes
	Refs        int // children that stand on it
	Pins        int // restores and verifies that read it now
	Dying       bool
	Deleting    bool
	Deleted     bool
	Verified    Verdict
	Error, Hint string
	Origin      Origin
	Created     time.Time
	Updated     time.Time
	Ended       time.Time
}

// Origin says whose a backup's objects are, and so how they are read.
type Origin string

// The origins. What is Trove's was brought in by an import: its objects are read and
// never changed, no increment is taken onto it, and Manifest is the SHA-256 of its
// stored bytes.
const (
	OriginOwn   Origin = ""
	OriginTrove Origin = "trove"
)

// Sizes are the three sizes of a backup in bytes; zero is not known yet.
type Sizes struct {
	Data   int64 `json:"data_bytes"`   // used on the data filesystem at start
	Plain  int64 `json:"plain_bytes"`  // the tool's stream
	Stored int64 `json:"stored_bytes"` // what the store keeps
}

// GiB is Data as Trove's "size": GiB with two decimals, at least 0.01.
func (s Sizes) GiB() float64 {
	return math.Max(0.01, math.Round(float64(s.Data)/(1<<30)*100)/100)
}

// Verdict is the latest statement about a backup's stored bytes.
type Verdict struct {
	At   time.Time `json:"at,omitzero"`
	OK   bool      `json:"ok"`
	Text string    `json:"text,omitempty"`
}

// Damaged reports whether the stored bytes were found to be other than what was
// written, when they were last looked at.
func (v Verdict) Damaged() bool { return !v.At.IsZero() && !v.OK }

// InstanceKind says where an instance came from.
type InstanceKind string

// The kinds of instances.
const (
	Registered InstanceKind = "registered" // somebody else's server, looked after
	Hosted     InstanceKind = "hosted"     // made by a restore, run by host
)

// Instance is a database that an agent looks after.
type Instance struct {
	ID        InstanceID
	Project   ProjectID
	Name      string
	Kind      InstanceKind
	Agent     AgentID
	Datastore Datastore
	Status    string // Trove's: ACTIVE, BUILD, ERROR, …
	Conn      Conn
	VolumeGiB int
	Key       KeyID  // "" until keys exist
	Recipient string // the data key's public half (age)
	Deleted   bool
	Created   time.Time
	Updated   time.Time
}

// Conn is how the agent reaches a server on its own machine. Secrets are in the
// file that CredentialsFile names (an option file, mode 0600), never here.
type Conn struct {
	Socket          string `json:"socket,omitempty"`
	Host            string `json:"host,omitempty"`
	Port            int    `json:"port,omitempty"`
	CredentialsFile string `json:"credentials_file,omitempty"`
	DataDir         string `json:"data_dir,omitempty"` // asked of the server when empty
	Polite          Polite `json:"polite,omitzero"`
}

// Agent is a process beside databases, as the control plane knows it.
type Agent struct {
	ID      AgentID
	Boot    string // its present life
	Version string
	Host    bool   // may run restored servers
	DataDir string // where restored servers live
	Free    int64  // bytes free there
	Beat    uint64
	Seen    time.Time
}

// Strategy chooses the container of future backups: of one instance, or (with
// Instance "") of the project.
type Strategy struct {
	Project   ProjectID
	Instance  InstanceID
	Backend   string
	Container string
}
