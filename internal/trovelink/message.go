package trovelink

import (
	"context"
	"encoding/json"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
)

// GuestVersion is the latest version of Trove's guest API; a server of it takes all
// earlier ones.
const GuestVersion = "1.3"

// Trove's states, as they stand in reports.
const (
	building  = string(coffer.Building)
	completed = string(coffer.Completed)
	failed    = string(coffer.Failed)
)

// Trove's conductor listens where ours does.
var toConductor = message.Conductor

// BackupInfo is Trove's order of a backup.
type BackupInfo struct {
	ID               string  `json:"id"`
	Name             string  `json:"name"`
	Description      *string `json:"description"`
	InstanceID       string  `json:"instance_id"`
	BackupType       string  `json:"backup_type"` // "full" or "incremental"
	Checksum         *string `json:"checksum"`    // always null
	Parent           *Parent `json:"parent"`
	Datastore        string  `json:"datastore"`
	DatastoreVersion string  `json:"datastore_version"`
	StorageDriver    string  `json:"storage_driver,omitempty"` // since 23.0.0
	SwiftContainer   *string `json:"swift_container"`          // null is Trove's default
	SwiftURL         string  `json:"swift_url,omitempty"`      // since 2026: the project's account
}

// Parent is the backup that an increment stands on.
type Parent struct {
	Location string `json:"location"`
	Checksum string `json:"checksum"`
}

// Update is a guest's report on a backup. Trove writes what is given into the row,
// as it is.
type Update struct {
	InstanceID string   `json:"instance_id"`
	BackupID   string   `json:"backup_id"`
	Sent       float64  `json:"sent"` // seconds; Trove drops what is not later than the last
	Size       *float64 `json:"size,omitempty"`
	State      string   `json:"state,omitempty"`
	BackupType string   `json:"backup_type,omitempty"`
	Checksum   string   `json:"checksum,omitempty"`
	Location   string   `json:"location,omitempty"`
	Success    *bool    `json:"success,omitempty"` // no column: ignored
}

// Beat is a guest's heartbeat.
type Beat struct {
	InstanceID string  `json:"instance_id"`
	Sent       float64 `json:"sent"`
	Payload    struct {
		ServiceStatus string `json:"service_status"`
	} `json:"payload"`
}

// Note is what Trove calls a notification: who asked for what. It is carried about
// as it came.
type Note map[string]any

// NoteEnd says that what a Note is about went well.
type NoteEnd struct {
	Note Note           `json:"serialized_notification"`
	Args map[string]any `json:"notification_args"`
}

// NoteFailed says that it did not; the text becomes the instance's fault.
type NoteFailed struct {
	Note      Note     `json:"serialized_notification"`
	Message   string   `json:"message"`
	Exception []string `json:"exception"`
}

// Filesystem is what get_filesystem_stats answers.
type Filesystem struct {
	BlockSize   int64          `json:"block_size"`
	TotalBlocks int64          `json:"total_blocks"`
	FreeBlocks  int64          `json:"free_blocks"`
	AvailBlocks int64          `json:"avail_blocks"`
	Total       float64        `json:"total"` // GiB
	Free        int64          `json:"free"`  // bytes
	Used        float64        `json:"used"`  // GiB
	Extra       map[string]any `json:"mgr_extra_info"`
}

// Trove's methods, both ways.
var (
	createBackup  = bus.Method[createArgs, message.None]{Name: "create_backup"}
	updateBackup  = bus.Method[Update, message.None]{Name: "update_backup"}
	heartbeat     = bus.Method[Beat, message.None]{Name: "heartbeat"}
	notifyEnd     = bus.Method[NoteEnd, message.None]{Name: "notify_end"}
	notifyExcInfo = bus.Method[NoteFailed, message.None]{Name: "notify_exc_info"}
)

type createArgs struct {
	BackupInfo BackupInfo `json:"backup_info"`
}

type contextKey struct{}

// withContext gives what is sent under ctx values of Trove's request context.
func withContext(ctx context.Context, values map[string]any) context.Context {
	return context.WithValue(ctx, contextKey{}, values)
}

// Context is what a message that is sent under ctx carries of Trove's request
// context; nil where it is none of Trove's. The bus adds it to the message:
//
//	amqp.Options.Stamp = func(ctx context.Context, …) amqp.Stamp { return amqp.Stamp{Context: trovelink.Context(ctx)} }
func Context(ctx context.Context) map[string]any {
	v, _ := ctx.Value(contextKey{}).(map[string]any)
	return v
}

// Request is what a guest needs of the context of a message.
type Request struct {
	Token     string  `json:"auth_token"`
	Project   string  `json:"project_id"`
	Tenant    string  `json:"tenant"` // Project, before Ocata
	RequestID string  `json:"request_id"`
	Note      Note    `json:"trove_notification"`
	Catalog   []entry `json:"service_catalog"`
}

type entry struct {
	Type      string `json:"type"`
	Endpoints []struct {
		Region string `json:"region"`
		Public string `json:"publicURL"`
	} `json:"endpoints"`
}

// readRequest reads a message's context.
func readRequest(values map[string]json.RawMessage) (Request, error) {
	raw, err := json.Marshal(values)
	if err != nil {
		return Request{}, coffer.E(coffer.KindInvalid, "read the request's context", "%w", err)
	}
	var r Request
	if err := json.Unmarshal(raw, &r); err != nil {
		return Request{}, coffer.E(coffer.KindInvalid, "read the request's context", "%w", err)
	}
	if r.Project == "" {
		r.Project = r.Tenant
	}
	return r, nil
}

// account is the URL of the project's object store: what the order names, else the
// catalogue's in that region, or its only one.
func (r Request) account(info BackupInfo, region string) (string, error) {
	if info.SwiftURL != "" {
		return info.SwiftURL, nil
	}
	for _, e := range r.Catalog {
		if e.Type != "object-store" {
			continue
		}
		for _, p := range e.Endpoints {
			if region == "" || p.Region == region {
				return p.Public, nil
			}
		}
	}
	return "", coffer.E(coffer.KindNotFound, "find the object store", "the caller's catalogue has none in region %q", region).
		WithHint("add an object-store endpoint to Keystone's catalogue, or set agent.trove_region")
}

// answers is the part of the context that goes back: who asked, and never the token.
func (r Request) answers() map[string]any {
	return map[string]any{"project_id": r.Project, "request_id": r.RequestID, "trove_notification": r.Note}
}
