package config

import "time"

// Default is the configuration of an embedded Coffer; a file says what differs.
// It names no state folder, records or store: those lie below the state folder of
// the command that runs.
func Default() Config {
	return Config{
		Server:      Server{Agent: true},
		API:         API{Listen: "127.0.0.1:8779", Quota: -1, Container: "database_backups", Region: "RegionOne", Drain: 10 * time.Second},
		TaskManager: TaskManager{MaxQueue: 24 * time.Hour, MaxJobsPerHost: 2},
		Conductor:   Conductor{Workers: 4},
		Agent: Agent{
			Profile:    ProfileCoffer,
			SpoolBytes: 256 << 20, MaxDDLWait: 30 * time.Second, MaxBlock: 10 * time.Second,
			MaxBlockNonTrans: time.Minute, Host: true, StopWait: 10 * time.Minute,
			Accounts: true, HookWait: time.Minute,
		},
		Bus:     Bus{Kind: Local, VHost: "/", Exchange: "coffer"},
		Records: Records{MaxConns: 16},
		Stores:  map[string]Store{},
		Log:     Log{Level: "warn", Format: "text"},
		lines:   map[string]int{},
	}
}

// The profiles of agents.
const (
	ProfileCoffer = "coffer" // under Coffer's control plane
	ProfileTrove  = "trove"  // under Trove's: the guest agent of one instance
)

// The kinds of buses and stores.
const (
	Local  = "local"  // one process
	Socket = "socket" // a server of this machine; hosts[0] is its socket. Not for files
	AMQP   = "amqp"   // RabbitMQ
	File   = "file"   // a folder
	S3     = "s3"     // a bucket of a server that speaks S3
	Swift  = "swift"  // a container of OpenStack's Swift, or of radosgw
)
