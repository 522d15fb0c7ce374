// Package config is the configuration of Coffer's processes: one TOML file for
// every role, each key of it also settable from the environment.
//
// A file says what differs from [Default]. A key that is not known is an error
// that names the file, the line and the nearest key there is, because a misspelt
// bound would else be no bound. Every key can be given as COFFER_SECTION_KEY,
// which wins over the file. Secrets stand in files of their own, mode 0600, that
// keys ending in _file name, or in the environment; never in this file.
//
// [Load] understands, and [Config.Check] judges: both say every problem at once,
// each with what to do about it. Nothing is opened or connected here.
package config

import "time"

// Role is a process's part; a check asks for what that part needs.
type Role string

// The roles. Everything is every section that the file fills in.
const (
	Everything    Role = ""
	RoleServer    Role = "server"
	RoleAPI       Role = "api"
	RoleTasks     Role = "taskmanager"
	RoleConductor Role = "conductor"
	RoleAgent     Role = "agent"
)

// Config is the whole file.
type Config struct {
	File string `toml:"-"` // where it was read from; "" is nowhere

	Server      Server           `toml:"server"`
	API         API              `toml:"api"`
	TaskManager TaskManager      `toml:"taskmanager"`
	Conductor   Conductor        `toml:"conductor"`
	Agent       Agent            `toml:"agent"`
	Trove       Trove            `toml:"trove"`
	Bus         Bus              `toml:"bus"`
	Enrol       Enrol            `toml:"enrol"`
	Records     Records          `toml:"records"`
	Stores      map[string]Store `toml:"stores"`
	Keys        Keys             `toml:"keys"`
	TLS         TLS              `toml:"tls"`
	Log         Log              `toml:"log"`

	lines map[string]int // key → line of the file
}

// Server is "coffer server": all roles in one process.
type Server struct {
	State string `toml:"state"` // folder; "" is the command's own
	Agent bool   `toml:"agent"` // run an agent in this process too
}

// API is where and for whom the API answers.
type API struct {
	Listen       string        `toml:"listen"`
	CertFile     string        `toml:"cert_file"`
	KeyFile      string        `toml:"key_file"`
	Insecure     bool          `toml:"insecure"` // plain HTTP off loopback
	BaseURL      string        `toml:"base_url"` // as clients see it
	TokensFile   string        `toml:"tokens_file"`
	Quota        int           `toml:"quota"`             // backups of a project; below 0 is no limit
	DefaultStore string        `toml:"default_store"`     // takes new backups; needed when there are several
	Container    string        `toml:"default_container"` // where nobody names one
	Region       string        `toml:"region"`
	Drain        time.Duration `toml:"drain"` // how long a stop waits for running requests
}

// TaskManager bounds what is under way; 0 is no bound.
type TaskManager struct {
	MaxQueue        time.Duration `toml:"max_queue"` // work that nobody took for so long FAILS
	MaxJobs         int           `toml:"max_jobs"`
	MaxJobsPerHost  int           `toml:"max_jobs_per_host"`
	MaxJobsPerStore int           `toml:"max_jobs_per_store"`
	MaxLinks        int           `toml:"max_links"` // a chain of so many backups is joined into a full
}

// Conductor is how much one conductor does at once.
type Conductor struct {
	Workers int `toml:"workers"` // messages handled at once
}

// Agent is what an agent may use of its machine.
type Agent struct {
	Profile          string        `toml:"profile"` // whose control plane it works for: "coffer" or "trove"
	State            string        `toml:"state"`
	SpoolBytes       Size          `toml:"spool_bytes"`
	MaxDDLWait       time.Duration `toml:"max_ddl_wait"`
	MaxBlock         time.Duration `toml:"max_block"`
	MaxBlockNonTrans time.Duration `toml:"max_block_nontrans"`
	Host             bool          `toml:"host"`      // run restored servers
	HostDir          string        `toml:"host_dir"`  // where they lie; "" is STATE/hosted
	StopWait         time.Duration `toml:"stop_wait"` // how long a stop waits for running jobs

	// How backups are made; Runner reads these.
	Strategy    []string      `toml:"backup_strategy"`             // methods by Trove's names: "MySQLDump", "mariadb-10.6=InnoBackupEx"
	Incremental []string      `toml:"backup_incremental_strategy"` // "InnoBackupEx=InnoBackupExIncremental", as there is no other
	Options     []string      `toml:"backup_runner_options"`       // "MariaBackup: --parallel=2 --throttle=100"
	Databases   []string      `toml:"dump_databases"`              // MySQLDump: these alone
	Accounts    bool          `toml:"dump_accounts"`               // MySQLDump: the server's accounts too
	Nice        int           `toml:"nice"`
	IONice      string        `toml:"ionice"`
	Bandwidth   Size          `toml:"bandwidth"`       // bytes a second of one backup; 0 is no limit
	Parallel    int           `toml:"parallel"`        // files that the tool copies at once
	Throttle    int           `toml:"throttle"`        // pairs of reads and writes a second, of the tool itself
	PreHook     []string      `toml:"pre_backup_hook"` // a program and its arguments
	PostHook    []string      `toml:"post_backup_hook"`
	HookWait    time.Duration `toml:"hook_wait"`

	// Profile "trove": the one database that Trove's instance is; Conn reads these.
	Database        string `toml:"database"`         // its socket, or host:port of this machine
	CredentialsFile string `toml:"credentials_file"` // an option file, 0600; "" comes in as the agent's own user
	TroveRegion     string `toml:"trove_region"`     // of the callers' object store; "" is the only one
}

// Trove is a control plane that has guests of OpenStack's Trove, and the user of
// Keystone as whom it lets them reach their projects' object store.
type Trove struct {
	Guests       bool   `toml:"guests"`
	AuthURL      string `toml:"auth_url"` // Keystone's
	User         string `toml:"user"`
	UserDomain   string `toml:"user_domain"`   // its name; "" is Default
	PasswordFile string `toml:"password_file"` // read at each login
	Region       string `toml:"region"`        // of the object store; "" is the only one
	CAFile       string `toml:"ca_file"`       // "" is tls.ca_file
	Insecure     bool   `toml:"insecure"`      // plain HTTP off loopback
}

// Bus is how the roles reach each other.
type Bus struct {
	Kind         string   `toml:"kind"` // "local" or "amqp"
	Hosts        []string `toml:"hosts"`
	User         string   `toml:"user"`
	PasswordFile string   `toml:"password_file"`
	Password     Secret   `toml:"-" secret:"password"`
	VHost        string   `toml:"vhost"`
	Exchange     string   `toml:"exchange"`
	Durable      bool     `toml:"durable"` // a Trove with amqp_durable_queues declares the same
	TLS          bool     `toml:"tls"`
	CAFile       string   `toml:"ca_file"`
	CertFile     string   `toml:"cert_file"`
	KeyFile      string   `toml:"key_file"`
	Insecure     bool     `toml:"insecure"` // plaintext off loopback
	// Trusted says that whoever has an account at the broker is believed: senders are
	// not proven and verbs not signed, as in Trove.
	Trusted bool `toml:"trusted"`
	// Trove's own encryption of bodies, where these are given: the task managers'
	// key; those of instances, "ID KEY" a line; and for an agent its instance's id.
	TroveTaskManagerKeyFile string `toml:"trove_taskmanager_key_file"`
	TroveTaskManagerKey     Secret `toml:"-" secret:"trove_taskmanager_key"`
	TroveInstanceKeysFile   string `toml:"trove_instance_keys_file"`
	TroveInstanceKeys       Secret `toml:"-" secret:"trove_instance_keys"`
	TroveInstance           string `toml:"trove_instance"`
}

// Enrol is how agents of other machines join; it needs the broker's management.
type Enrol struct {
	URL           string   `toml:"url"`     // of the API, as agents reach it; "" is api.base_url
	Brokers       []string `toml:"brokers"` // as agents reach them; none is bus.hosts
	CAFile        string   `toml:"ca_file"` // whom agents trust; "" is tls.ca_file
	ManagementURL string   `toml:"management_url"`
	User          string   `toml:"management_user"` // an administrator; "" is bus.user
	PasswordFile  string   `toml:"management_password_file"`
	Password      Secret   `toml:"-" secret:"management_password"`
	Insecure      bool     `toml:"insecure"` // plain HTTP to a broker of another machine
}

// Records is where the metadata is: a server, or a SQLite file.
type Records struct {
	Path         string `toml:"path"`
	URL          string `toml:"url"` // postgres://user@host:5432/name or mysql://…; without a password
	PasswordFile string `toml:"password_file"`
	Password     Secret `toml:"-" secret:"password"`
	TLS          bool   `toml:"tls"`
	CAFile       string `toml:"ca_file"`
	CertFile     string `toml:"cert_file"`
	KeyFile      string `toml:"key_file"`
	Insecure     bool   `toml:"insecure"`
	MaxConns     int    `toml:"max_conns"`
}

// Keys are the operator's keys, as files of age's.
type Keys struct {
	IdentityFile   string   `toml:"identity_file"`    // opens what is stored: restores, verifies
	Recipients     []string `toml:"recipients"`       // whom data keys are wrapped for
	RecipientsFile string   `toml:"recipients_file"`  // the same, one a line
	SigningKeyFile string   `toml:"signing_key_file"` // vouches for verbs to agents
	VerifyKeyFile  string   `toml:"verify_key_file"`  // what an agent believes
}

// TLS is used wherever a section names no files of its own.
type TLS struct {
	CAFile   string `toml:"ca_file"`
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
}

// Log is what is said on standard error.
type Log struct {
	Level  string `toml:"level"`  // debug, info, warn or error
	Format string `toml:"format"` // text or json
}
