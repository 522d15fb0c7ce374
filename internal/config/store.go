package config

import "time"

// The owners of a store's buckets or containers.
const (
	Operators = "operator" // one account for all; the default
	Projects  = "project"  // each project has its own
)

// Store is one place for backups. Each kind reads its own keys, and those that
// both kinds of servers have; a key of another kind is a mistake. Whoever joins as
// an agent is told all of them but the files of secrets, which it has itself.
type Store struct {
	Kind string `toml:"kind"` // "file", "s3" or "swift"
	Path string `toml:"path" for:"file"`

	Region   string        `toml:"region" for:"s3 swift"`
	CAFile   string        `toml:"ca_file" for:"s3 swift"`  // trust these alone; "" is the system's
	Insecure bool          `toml:"insecure" for:"s3 swift"` // plain HTTP off loopback
	Create   bool          `toml:"create" for:"s3 swift"`   // make the bucket or container when it is missing
	Prefix   string        `toml:"prefix" for:"s3 swift"`   // of every object; ends in "/"
	Patience time.Duration `toml:"patience" for:"s3 swift"` // how long the server may stand still; 0 is a minute

	// Accounts says whose the bucket or container is: "operator", or "project": each
	// project's own, by its own credentials. Then Bucket or Container is a template,
	// and what a user names is a bucket or container as well.
	Accounts       string `toml:"accounts" for:"s3 swift"`
	CredentialsDir string `toml:"credentials_dir" for:"s3 swift"` // of the projects: a file named by each one's id

	Endpoint        string `toml:"endpoint" for:"s3"` // https://host:port
	Bucket          string `toml:"bucket" for:"s3"`
	HostStyle       bool   `toml:"host_style" for:"s3"` // the bucket is a part of the host's name
	CredentialsFile string `toml:"credentials_file" for:"s3"`
	Profile         string `toml:"profile" for:"s3"`    // a section of that file
	Encryption      string `toml:"encryption" for:"s3"` // by the server: "AES256", or a key's id in its KMS

	AuthURL       string `toml:"auth_url" for:"swift"`     // Keystone's, with /v3
	AuthVersion   string `toml:"auth_version" for:"swift"` // "3", or "1" for Swift's own login
	User          string `toml:"user" for:"swift"`
	UserDomain    string `toml:"user_domain" for:"swift"` // "": user is an id
	Project       string `toml:"project" for:"swift"`
	ProjectDomain string `toml:"project_domain" for:"swift"` // "": project is an id
	Trust         string `toml:"trust" for:"swift"`
	AppCredential string `toml:"application_credential" for:"swift"`
	SecretFile    string `toml:"secret_file" for:"swift"` // the password, or the credential's secret
	Interface     string `toml:"interface" for:"swift"`   // "public", "internal" or "admin"
	StorageURL    string `toml:"storage_url" for:"swift"` // instead of the catalogue's
	Container     string `toml:"container" for:"swift"`
	Dynamic       bool   `toml:"dynamic" for:"swift"` // always write dynamic large objects
	// TroveKeyFile holds Trove's backup_aes_cbc_key, which opens what its old agents
	// have encrypted.
	TroveKeyFile string `toml:"trove_key_file" for:"swift"`

	Rate Size `toml:"rate"` // bytes a second that one process moves; 0 is no limit
}
