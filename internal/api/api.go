// Package api answers Coffer's two HTTP interfaces: Trove's API v1.0, so that
// whatever spoke to Trove speaks to Coffer, and Coffer's own resources under
// /coffer/v1, for what Trove has no words for: jobs, events, plans, registration.
//
// Every request passes the same stations, in Trove's order: an id, a known
// prefix, a caller (401), the caller's project in the path (403), a route (404),
// a body in the right shape (400), and only then the handler, which takes the
// project first in whatever it asks of the records. Creates commit a row and then
// ring the task manager's bell; a bell that nobody hears is rung again from the
// row, so its failure is no failure of the request.
//
// Trove's answers are kept to the byte: the order of keys, what is null, the words
// of every refusal, also where Trove answers 500 to a body that it cannot read.
// Three of its habits are not kept: a backup that others stand on is deleted only
// with force, a parent must be a usable backup of the same instance, and an import
// (restore_from) is not good before it was read.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
)

// Records is what the API asks of the metadata.
type Records interface {
	CreateBackup(ctx context.Context, n records.NewBackup) (coffer.Backup, error)
	CreateSynthesis(ctx context.Context, n records.NewSynthesis) (coffer.Backup, error)
	Backup(ctx context.Context, project coffer.ProjectID, id coffer.BackupID) (coffer.Backup, error)
	BackupByID(ctx context.Context, id coffer.BackupID) (coffer.Backup, error)
	Backups(ctx context.Context, f records.BackupFilter) ([]coffer.Backup, error)
	Chain(ctx context.Context, project coffer.ProjectID, id coffer.BackupID) ([]coffer.Backup, error)
	Children(ctx context.Context, id coffer.BackupID) ([]coffer.Backup, error)
	CreateImport(ctx context.Context, n records.NewImport) (b coffer.Backup, made bool, err error)
	Quota(ctx context.Context, project coffer.ProjectID) (int, error)
	CreateJob(ctx context.Context, n records.NewJob) (coffer.Job, error)
	Job(ctx context.Context, project coffer.ProjectID, id coffer.JobID) (coffer.Job, error)
	Jobs(ctx context.Context, f records.JobFilter) ([]coffer.Job, error)
	Events(ctx context.Context, project coffer.ProjectID, job coffer.JobID, after int64, limit int) ([]coffer.Event, error)
	Cancel(ctx context.Context, project coffer.ProjectID, job coffer.JobID, now time.Time) (coffer.Job, error)
	Instance(ctx context.Context, project coffer.ProjectID, id coffer.InstanceID) (coffer.Instance, error)
	InstanceByID(ctx context.Context, id coffer.InstanceID) (coffer.Instance, error)
	Instances(ctx context.Context, project coffer.ProjectID, marker coffer.InstanceID, limit int) ([]coffer.Instance, error)
	CreateInstance(ctx context.Context, in coffer.Instance) error
	DeleteInstance(ctx context.Context, project coffer.ProjectID, id coffer.InstanceID) error
	PutStrategy(ctx context.Context, s coffer.Strategy) error
	Strategies(ctx context.Context, project coffer.ProjectID, instance *coffer.InstanceID) ([]coffer.Strategy, error)
	DeleteStrategy(ctx context.Context, project coffer.ProjectID, instance coffer.InstanceID) error
	Agents(ctx context.Context) ([]coffer.Agent, error)
}

var _ Records = (*records.DB)(nil)

// Prober reads back, with the control plane's own credentials, the object that an
// agent has written into a store. It returns nil only for the very bytes.
type Prober interface {
	ReadProbe(ctx context.Context, store string, object string, sha256 string) error
}

// Keys makes the data key of a new instance, wrapped for the operator's
// recipients, and gives its public half.
type Keys interface {
	NewDataKey(ctx context.Context, store string, project coffer.ProjectID, instance coffer.InstanceID) (coffer.KeyID, string, error)
}

// Placer chooses the containers of new backups in stores where they are the projects'
// own. Its error is told to the caller before there is a row.
type Placer interface {
	// Own reports whether a store is such a one.
	Own(store string) bool
	// Choose gives the container to use, and which one was wanted: asked, or with ""
	// the store's own choice.
	Choose(ctx context.Context, store string, p coffer.ProjectID, in coffer.InstanceID, asked string) (used, wanted string, err error)
}

// Sweeper looks over the stores for what is ours and dead.
type Sweeper interface {
	Sweep(ctx context.Context) (rest.Sweep, error)
}

// Config is what the API works with. Records, Bus and Auth are needed; a part
// that is nil answers 501 where it would be used.
type Config struct {
	Records Records
	Bus     bus.Bus
	Auth    auth.Authenticator
	Prober  Prober
	Keys    Keys // nil: archives are not encrypted
	Sweeper Sweeper
	Placer  Placer    // nil: the containers of all stores are the operator's
	Enrol   Enrolment // nil: no agent of another machine can join
	// Importer finds backups of Trove's; nil: none can be brought in.
	Importer Importer

	Stores           []string // names of the stores; the first takes new backups
	DefaultContainer string   // a template; "" is Trove's database_backups
	Quota            int      // backups of a project; 0 is Trove's 50, below 0 no limit
	HostCap          int      // jobs of one host at once, as the task managers have it; 0 is no limit
	Datastores       []coffer.Datastore
	Region           string // "" is RegionOne
	BaseURL          string // as clients see it; "" takes it from each request

	Now          func() time.Time
	NewRequestID func() string
	Log          *slog.Logger
}

// api is a Config with its defaults, and the routes.
type api struct {
	Config
	schemas schemas
	mux     *http.ServeMux
	heard   plan.Heard
	bell    bell
}

// New makes the handler of both interfaces.
func New(c Config) http.Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewRequestID == nil {
		c.NewRequestID = func() string { return "req-" + coffer.NewUUID() }
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.DefaultContainer == "" {
		c.DefaultContainer = records.DefaultContainer
	}
	if c.Quota == 0 {
		c.Quota = 50
	}
	if c.Region == "" {
		c.Region = "RegionOne"
	}
	if len(c.Datastores) == 0 {
		c.Datastores = []coffer.Datastore{{Type: "mariadb", Version: "10.11"}}
	}
	a := &api{Config: c, schemas: newSchemas(), mux: http.NewServeMux()}
	for _, r := range a.routes() {
		a.mux.Handle(r.pattern(), r.handler(a))
	}
	return http.HandlerFunc(a.serve)
}

// Server is an HTTP server for h that slow and greedy clients cannot exhaust. The
// address, and when it ends, are the caller's.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      maxWait + 60*time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
