package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/lifecycle"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/plan"
	"github.com/cofferdb/coffer/internal/records"
)

// localProject owns what "backup run" makes: the same as a server of one person, so
// that "coffer server" on the same folder can restore it.
const localProject = auth.LocalProject

type backupRunCmd struct {
	To          string   `required:"" type:"path" placeholder:"DIR" help:"Folder that keeps the backups, and in DIR/.coffer their records."`
	Socket      string   `type:"path" help:"The server's Unix socket." xor:"server"`
	Host        string   `help:"The server's address; it must run on this machine." xor:"server"`
	Port        int      `default:"3306" help:"The server's port, with --host."`
	Credentials string   `type:"path" placeholder:"FILE" help:"Option file (mode 0600) with user and password in its [client] group."`
	Incremental bool     `help:"Stand on the newest good backup; without one, or when none can be stood on, a full is taken."`
	FullEvery   int      `placeholder:"N" help:"With --incremental: take a full when the newest chain has N backups. Without it a chain grows for ever, --keep can never delete of it, and a restore takes ever longer."`
	MaxLinks    int      `placeholder:"N" help:"With --incremental: before a chain would have more than N backups (2 at least), its newest link is joined with all that it stands on into a new full, without asking the database, and the increment stands on that. If it cannot be joined, a full is taken."`
	Identity    string   `type:"path" placeholder:"FILE" help:"With --max-links and encrypted backups: the age identity that opens them."`
	Keep        int      `placeholder:"N" help:"Afterwards keep the newest N backups and all that they stand on, delete the others."`
	Recipient   []string `placeholder:"AGE1…" help:"Encrypt for this age recipient (may be repeated)."`
	Method      string   `placeholder:"NAME" help:"How to make it: MariaBackup (the default), InnoBackupEx, XtraBackup or MySQLDump. A dump is never an increment."`
	Name        string   `help:"The backup's name; the time by default."`
	politeFlags
}

// Help is shown by --help.
func (backupRunCmd) Help() string {
	return `Backs up one database without any server: for cron. The archive is the same as a server's, and so are the promises: exit code 0 only after the backup was read back as COMPLETED. One run at a time works in DIR; a second one ends with exit code 4.

Examples:
  coffer backup run --socket /run/mysqld/mysqld.sock --to /srv/backups
  coffer backup run --socket /run/mysqld/mysqld.sock --credentials /root/.my.cnf --to /srv/backups --incremental --full-every 7 --keep 14
  coffer backup run --socket /run/mysqld/mysqld.sock --to /srv/backups --incremental --max-links 8 --keep 14
  coffer backup run --socket /run/mysqld/mysqld.sock --to /srv/dumps --method MySQLDump

` + exitHelp
}

// Run is the four roles in one process, for one job.
func (c *backupRunCmd) Run(e *environment) error {
	if c.Socket == "" && c.Host == "" {
		return coffer.E(coffer.KindInvalid, "find the server", "neither --socket nor --host is given").
			WithHint("try: coffer backup run --socket /run/mysqld/mysqld.sock --to %s", c.To)
	}
	if c.MaxLinks == 1 || c.MaxLinks < 0 {
		return coffer.E(coffer.KindInvalid, "read --max-links", "a chain of %d has no increment", c.MaxLinks).WithHint("give 2 or more, or leave out --incremental")
	}
	method, err := c.method()
	if err != nil {
		return err
	}
	if err := readable(c.Identity); err != nil {
		return err
	}
	state := stateDir(filepath.Join(c.To, ".coffer"))
	if err := state.make(); err != nil {
		return err
	}
	lock, err := state.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	limitMemory()
	p, err := assemble(e.ctx, c.settings(e, state))
	if err != nil {
		return err
	}
	defer p.close()
	return p.during(e.ctx, func(ctx context.Context) error { return c.run(ctx, e, p, method) })
}

// method is how the backup is to be made; "" is what the database's own tool makes.
func (c *backupRunCmd) method() (coffer.Method, error) {
	if c.Method == "" {
		return "", nil
	}
	m, err := coffer.ParseMethod(c.Method)
	if err == nil && c.Incremental && !m.Increments() {
		err = coffer.NoIncrement(m)
	}
	return m, err
}

// settings are those of one job: no restored servers, and no wait for running jobs,
// since the command itself ends its one.
func (c *backupRunCmd) settings(e *environment, state stateDir) settings {
	cfg := config.Default()
	cfg.Agent.Host, cfg.Agent.StopWait = false, 0
	cfg.Keys.Recipients, cfg.Keys.IdentityFile = c.Recipient, c.Identity
	cfg.Stores[defaultStore] = config.Store{Kind: config.File, Path: c.To}
	return settings{Config: embedded(cfg, state), Role: config.RoleServer, State: state, MakeStore: true, Log: e.logger(cfg.Log)}
}

func (c *backupRunCmd) run(ctx context.Context, e *environment, p *parts, method coffer.Method) error {
	if err := p.cleanUp(ctx); err != nil {
		return err
	}
	in, err := c.instance(ctx, p)
	if err != nil {
		return err
	}
	if in.Key == "" && !e.json {
		fmt.Fprintln(e.err, "note: the backup is not encrypted; give --recipient to encrypt it")
	}
	want := records.NewBackup{
		Project: localProject, Instance: in.ID, Name: c.Name,
		Store: defaultStore, Quota: -1, Now: time.Now(), Method: method,
	}
	if want.Name == "" {
		want.Name = want.Now.UTC().Format("2006-01-02T15:04:05Z")
	}
	if want.Incremental, err = c.increment(ctx, e, p, in); err != nil {
		return err
	}
	b, err := p.take(ctx, e, want)
	if coffer.IsKind(err, coffer.KindNeedFull) && want.Incremental {
		if !e.json {
			fmt.Fprintf(e.err, "no increment is possible (%v): taking a full backup\n", err)
		}
		want.Incremental = false
		b, err = p.take(ctx, e, want)
	}
	if err != nil {
		return err
	}
	if err := c.retain(ctx, e, p, in); err != nil {
		return err
	}
	return e.show(backupView(b))
}

// during runs the roles while f works, and stops them afterwards. An interrupt
// reaches f alone, so that it can end its job in good order.
func (p *parts) during(ctx context.Context, f func(context.Context) error) error {
	rctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ready := make(chan struct{}, 3)
	tell := func() { ready <- struct{}{} }
	var result error
	roles := lifecycle.Run(rctx,
		lifecycle.Part{Name: "conductor", Run: func(ctx context.Context) error { return p.conductor.Run(ctx, tell) }},
		lifecycle.Part{Name: "task manager", Run: func(ctx context.Context) error { return p.tasks.Run(ctx, tell) }},
		lifecycle.Part{Name: "agent", Run: func(ctx context.Context) error { return p.agent.Run(ctx, tell) }},
		lifecycle.Part{Name: "work", Run: func(roles context.Context) error {
			defer stop()
			for range 3 {
				select {
				case <-ready:
				case <-roles.Done():
					return nil
				}
			}
			work, end := context.WithCancel(ctx)
			defer end()
			defer context.AfterFunc(roles, end)()
			result = f(work)
			return nil
		}},
	)
	if roles != nil {
		return roles
	}
	return result
}

// cleanUp settles what earlier runs left: the lock proves that they are dead.
func (p *parts) cleanUp(ctx context.Context) error {
	for {
		if err := p.tasks.Rescue(ctx); err != nil {
			return err
		}
		left, err := p.db.Running(ctx)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			break
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	_, err := p.tasks.Sweep(ctx)
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// instance finds the row of this server, or makes it.
func (c *backupRunCmd) instance(ctx context.Context, p *parts) (coffer.Instance, error) {
	polite, err := c.polite()
	if err != nil {
		return coffer.Instance{}, err
	}
	conn := coffer.Conn{Socket: c.Socket, CredentialsFile: c.Credentials, Polite: polite}
	if c.Socket == "" {
		conn.Host, conn.Port = c.Host, c.Port
	}
	list, err := p.db.Instances(ctx, localProject, "", records.MaxPage)
	if err != nil {
		return coffer.Instance{}, err
	}
	for _, in := range list {
		if in.Conn.Socket == conn.Socket && in.Conn.Host == conn.Host && in.Conn.Port == conn.Port {
			in.Conn.CredentialsFile, in.Conn.Polite = c.Credentials, polite
			return c.refresh(ctx, p, in)
		}
	}
	return p.registerLocal(ctx, coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: localProject, Name: conn.Socket + conn.Host,
		Kind: coffer.Registered, Agent: p.agent.ID, Status: "ACTIVE", Conn: conn,
		Created: time.Now(), Updated: time.Now(),
	})
}

// registerLocal has this process's agent look at a server, and keeps the row.
func (p *parts) registerLocal(ctx context.Context, in coffer.Instance) (coffer.Instance, error) {
	r, err := message.Register.Call(ctx, p.bus, message.HostAgent(p.agent.ID), message.RegisterArgs{
		Instance: in.ID, Project: in.Project, Conn: in.Conn, StoreName: defaultStore,
	})
	if err != nil {
		return in, err
	}
	if err := p.stores.ReadProbe(ctx, defaultStore, r.ProbeObject, r.ProbeSHA256); err != nil {
		return in, err
	}
	in.Datastore, in.Conn = r.Datastore, r.Conn
	if in.Key, in.Recipient, err = p.ring.NewDataKey(ctx, defaultStore, in.Project, in.ID); err != nil {
		return in, err
	}
	if err := p.db.CreateInstance(ctx, in); err != nil {
		return in, err
	}
	return in, p.agent.Refresh(ctx)
}

// refresh takes over what was given anew, and a first recipient.
func (c *backupRunCmd) refresh(ctx context.Context, p *parts, in coffer.Instance) (coffer.Instance, error) {
	if in.Key == "" {
		var err error
		if in.Key, in.Recipient, err = p.ring.NewDataKey(ctx, defaultStore, in.Project, in.ID); err != nil {
			return in, err
		}
	}
	in.Updated = time.Now()
	if err := p.db.UpdateInstance(ctx, in); err != nil {
		return in, err
	}
	return in, p.agent.Refresh(ctx)
}

// take makes one backup and waits for its end.
func (p *parts) take(ctx context.Context, e *environment, want records.NewBackup) (coffer.Backup, error) {
	b, err := p.db.CreateBackup(ctx, want)
	if err != nil {
		return b, err
	}
	return p.made(ctx, e, b)
}

// made waits for the end of a backup that was asked for.
func (p *parts) made(ctx context.Context, e *environment, b coffer.Backup) (coffer.Backup, error) {
	if err := message.Dispatch.Cast(ctx, p.bus, message.TaskManager, message.JobRef{Job: coffer.JobID(b.ID)}); err != nil {
		return b, err
	}
	if err := p.wait(ctx, e, b.Project, coffer.JobID(b.ID)); err != nil {
		return b, err
	}
	return p.db.Backup(ctx, b.Project, b.ID)
}

// wait follows a job to its end; interrupted, it cancels the job first.
func (p *parts) wait(ctx context.Context, e *environment, project coffer.ProjectID, id coffer.JobID) error {
	m := &meter{w: e.err, terminal: e.terminal, quiet: e.json}
	defer m.end()
	var after int64
	for {
		events, err := p.db.Events(ctx, project, id, after, 100)
		if err != nil {
			return err
		}
		for _, ev := range events {
			m.event(ev)
			after = ev.ID
		}
		j, err := p.db.Job(ctx, project, id)
		if err != nil {
			return err
		}
		switch j.State {
		case coffer.Completed:
			return nil
		case coffer.Failed:
			return (&coffer.Error{Kind: j.ErrKind, Op: string(j.Kind) + " " + string(j.ID), Err: failure(j.Error)}).WithHint("%s", j.Hint)
		}
		m.show(j.Phase, j.Progress, time.Now())
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			if ctx, err = p.interrupted(ctx, project, id); err != nil {
				return err
			}
		}
	}
}

// interruptPatience is how long a cancelled job may take to end.
const interruptPatience = 30 * time.Second

// interrupted cancels the job and gives a context in which to wait for its end;
// a second time it gives up: the next run settles what is left.
func (p *parts) interrupted(ctx context.Context, project coffer.ProjectID, id coffer.JobID) (context.Context, error) {
	if _, again := ctx.Deadline(); again {
		return ctx, coffer.E(coffer.KindCanceled, "wait for the job", "interrupted; the next run settles what is left")
	}
	next, stop := context.WithTimeout(context.WithoutCancel(ctx), interruptPatience)
	context.AfterFunc(next, stop)
	if _, err := p.db.Cancel(next, project, id, time.Now()); err != nil {
		return next, nil // too late to cancel: it ends by itself
	}
	j, err := p.db.JobByID(next, id)
	if err != nil {
		return next, err
	}
	to := message.TaskManager
	if j.Kind == coffer.JobBackup {
		to = message.GuestAgent(j.Instance)
	}
	return next, message.Cancel.Cast(next, p.bus, to, message.JobRef{Job: id})
}

// failure is a reason that came as text.
type failure string

// Error is the text.
func (f failure) Error() string { return string(f) }

// increment says whether to stand on the newest backup: --full-every ends a chain,
// --max-links makes it short again.
func (c *backupRunCmd) increment(ctx context.Context, e *environment, p *parts, in coffer.Instance) (bool, error) {
	if !c.Incremental || c.FullEvery <= 0 && c.MaxLinks <= 0 {
		return c.Incremental, nil
	}
	list, err := p.db.Backups(ctx, records.BackupFilter{Project: localProject, Instance: in.ID, Limit: records.MaxPage})
	if err != nil || c.FullEvery > 0 && chainLength(list) >= c.FullEvery {
		return false, err
	}
	return c.shorten(ctx, e, p, list)
}

// chainLength is how many backups the chain of the newest good one has; 0 is none.
func chainLength(list []coffer.Backup) int {
	newest := newestGood(list)
	if newest == nil {
		return 0
	}
	return newest.Depth + 1
}

// newestGood is the newest backup that can be stood on; nil is none.
func newestGood(list []coffer.Backup) (newest *coffer.Backup) {
	for i, b := range list {
		if b.State == coffer.Completed && !b.Deleted && !b.Deleting && (newest == nil || b.Created.After(newest.Created)) {
			newest = &list[i]
		}
	}
	return newest
}

// retain deletes what --keep lets go, children first.
func (c *backupRunCmd) retain(ctx context.Context, e *environment, p *parts, in coffer.Instance) error {
	if c.Keep <= 0 {
		return nil
	}
	list, err := p.db.Backups(ctx, records.BackupFilter{Project: localProject, Instance: in.ID, Limit: records.MaxPage})
	if err != nil {
		return err
	}
	for _, id := range plan.Retain(list, c.Keep) {
		j, err := p.db.CreateJob(ctx, records.NewJob{
			Kind: coffer.JobDelete, Project: localProject, Instance: in.ID, Backup: id, Now: time.Now(),
		})
		if err != nil {
			return coffer.Wrap("delete an old backup", err)
		}
		if err := message.Dispatch.Cast(ctx, p.bus, message.TaskManager, message.JobRef{Job: j.ID}); err != nil {
			return err
		}
		if err := p.wait(ctx, e, localProject, j.ID); err != nil {
			return coffer.Wrap("delete an old backup", err)
		}
		if !e.json {
			fmt.Fprintf(e.err, "deleted the old backup %s\n", id)
		}
	}
	return nil
}
