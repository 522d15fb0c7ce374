package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/workload"
)

type quickstartCmd struct {
	Bytes int64  `default:"268435456" help:"How much data to generate, in bytes."`
	Dir   string `type:"path" placeholder:"DIR" help:"Work in this folder, which must not exist; a temporary one by default."`
	Keep  bool   `help:"Keep the folder with the backups and the restored files."`
}

// Help is shown by --help.
func (quickstartCmd) Help() string {
	return `Starts a private MariaDB with generated data and clients that write into it, takes a full backup and an increment meanwhile and a second increment when they have stopped, restores the last one into a second server, and compares: every transaction with the clients' own journal, and every table's checksum with the source. Everything lies in one folder and is removed at the end; only loopback is used. Needs mariadb-server and mariadb-backup.

` + exitHelp
}

// took is one measured step of the report.
type took struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
	Plain   int64   `json:"plain_bytes,omitempty"`
	Stored  int64   `json:"stored_bytes,omitempty"`
}

// report is what the quickstart saw.
type report struct {
	Steps        []took            `json:"steps"`
	DataBytes    int64             `json:"data_bytes"`
	Transactions int64             `json:"transactions"`
	Rows         int64             `json:"rows_compared"`
	Tables       int               `json:"tables_compared"`
	Stalls       workload.Stalls   `json:"longest_stalls_ns"`
	Problems     []string          `json:"problems"`
	Backups      []coffer.BackupID `json:"backups"`
}

func (r report) text(w io.Writer) {
	rows := make([][]string, 0, len(r.Steps))
	for _, s := range r.Steps {
		row := []string{s.Step, fmt.Sprintf("%.1f s", s.Seconds), "", "", ""}
		if s.Plain > 0 {
			row[2], row[3] = bytesText(s.Plain), bytesText(s.Stored)
			row[4] = bytesText(int64(float64(s.Plain)/s.Seconds)) + "/s"
		}
		rows = append(rows, row)
	}
	table(w, []string{"STEP", "TIME", "STREAM", "STORED", "RATE"}, rows)
	ms := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	fmt.Fprintf(w, "\nwriters' longest stall during the backups: %s (transactions), %s (non-transactional), %s (DDL)\n",
		ms(r.Stalls.Commit), ms(r.Stalls.NonTrans), ms(r.Stalls.DDL))
	if len(r.Problems) == 0 {
		fmt.Fprintf(w, "restored = source: %d transactions and %d rows as the clients' journal has them, %d tables with equal checksums\n",
			r.Transactions, r.Rows, r.Tables)
		return
	}
	for _, p := range r.Problems {
		fmt.Fprintln(w, "WRONG:", p)
	}
}

// Run is the whole show.
func (c *quickstartCmd) Run(e *environment) (err error) {
	dir, err := c.folder()
	if err != nil {
		return err
	}
	if c.Keep {
		fmt.Fprintln(e.err, "working in", dir)
	} else {
		defer func() {
			if rerr := os.RemoveAll(dir); err == nil && rerr != nil {
				err = coffer.E(coffer.KindInternal, "clean up", "%w", rerr)
			}
		}()
	}
	state := stateDir(filepath.Join(dir, "state"))
	if err := state.make(); err != nil {
		return err
	}
	cfg := config.Default()
	cfg.Agent.StopWait = 0
	p, err := assemble(e.ctx, settings{
		Config: embedded(cfg, state), Role: config.RoleServer, State: state, MakeStore: true, Log: e.logger(cfg.Log),
	})
	if err != nil {
		return err
	}
	defer p.close()
	q := &quickstart{cmd: c, env: e, parts: p, dir: dir, rep: report{Problems: []string{}}}
	if err := p.during(e.ctx, q.run); err != nil {
		return err
	}
	if err := e.show(q.rep); err != nil {
		return err
	}
	if len(q.rep.Problems) > 0 {
		return coffer.E(coffer.KindCorrupt, "compare the restored server with its source", "%d differences", len(q.rep.Problems))
	}
	return nil
}

// folder is short, since Unix sockets lie in it, and may be entered by the
// servers' own users.
func (c *quickstartCmd) folder() (string, error) {
	if c.Dir != "" {
		return c.Dir, coffer.Wrap("make the folder", os.Mkdir(c.Dir, 0o711))
	}
	dir, err := os.MkdirTemp("", "coffer")
	if err != nil {
		return "", coffer.E(coffer.KindInternal, "make a temporary folder", "%w", err)
	}
	return dir, os.Chmod(dir, 0o711)
}

// quickstart is one run.
type quickstart struct {
	cmd    *quickstartCmd
	env    *environment
	parts  *parts
	dir    string
	rep    report
	source *sql.DB
	writer *workload.Writer
}

func (q *quickstart) say(format string, args ...any) {
	if !q.env.json {
		fmt.Fprintf(q.env.err, format+"\n", args...)
	}
}

// time measures one step.
func (q *quickstart) time(step string, f func() error) error {
	start := time.Now()
	err := f()
	q.rep.Steps = append(q.rep.Steps, took{Step: step, Seconds: time.Since(start).Seconds()})
	return err
}

func (q *quickstart) run(ctx context.Context) (err error) {
	h, err := host.New(host.Config{Root: filepath.Join(q.dir, "source"), Log: q.env.logger(config.Default().Log)})
	if err != nil {
		return err
	}
	defer h.Close()
	in, err := q.startSource(ctx, h)
	defer func() {
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer stop()
		for _, r := range append(q.parts.host.Running(), h.Running()...) {
			owner := h
			if r.Instance != in.ID {
				owner = q.parts.host
			}
			if serr := owner.Stop(end, r.Instance); err == nil {
				err = serr
			}
		}
	}()
	if err != nil {
		return err
	}
	return q.show(ctx, in)
}

func (q *quickstart) startSource(ctx context.Context, h *host.Host) (coffer.Instance, error) {
	in := coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: localProject, Name: "source", Kind: coffer.Registered,
		Agent: q.parts.agent.ID, Status: "ACTIVE", Created: time.Now(), Updated: time.Now(),
	}
	q.say("starting a private MariaDB and filling it with %s", bytesText(q.cmd.Bytes))
	return in, q.time("start and fill", func() error {
		slot, err := h.Prepare(ctx, in.ID, 0)
		if err != nil {
			return err
		}
		opts := map[string]string{"innodb_log_file_size": "256M", "innodb_buffer_pool_size": "256M"}
		if err := h.Install(ctx, slot, opts); err != nil {
			return err
		}
		if in.Conn, err = h.Start(ctx, slot, opts); err != nil {
			return err
		}
		if q.source, err = host.OpenDB(in.Conn); err != nil {
			return err
		}
		return workload.Fill(ctx, q.source, workload.FillOptions{Seed: 1, Bytes: q.cmd.Bytes})
	})
}

// show backs up, restores and compares.
func (q *quickstart) show(ctx context.Context, in coffer.Instance) error {
	defer q.source.Close()
	in, err := q.parts.registerLocal(ctx, in)
	if err != nil {
		return err
	}
	q.writer, err = workload.Start(ctx, q.source, workload.Options{Seed: 2, NonTrans: true, DDL: true, Pause: 2 * time.Millisecond})
	if err != nil {
		return err
	}
	defer q.writer.Stop()
	q.say("clients write; taking a full backup and an increment meanwhile")
	if _, err := q.backup(ctx, in, "full backup", false); err != nil {
		return err
	}
	if _, err := q.backup(ctx, in, "increment 1", true); err != nil {
		return err
	}
	journal := q.writer.Stop()
	q.rep.Stalls = q.writer.Stalls()
	if err := q.writer.Err(); err != nil {
		return coffer.Wrap("write into the source", err)
	}
	before := time.Now()
	last, err := q.backup(ctx, in, "increment 2", true)
	if err != nil {
		return err
	}
	conn, err := q.restore(ctx, last)
	if err != nil {
		return err
	}
	q.say("comparing the restored server with the clients' journal and with the source")
	return q.time("compare", func() error { return q.compare(ctx, conn, journal, before, time.Now()) })
}

func (q *quickstart) backup(ctx context.Context, in coffer.Instance, step string, inc bool) (coffer.Backup, error) {
	var b coffer.Backup
	err := q.time(step, func() (err error) {
		b, err = q.parts.take(ctx, q.env, records.NewBackup{
			Project: localProject, Instance: in.ID, Name: step, Incremental: inc, Store: defaultStore, Quota: -1, Now: time.Now(),
		})
		return err
	})
	s := &q.rep.Steps[len(q.rep.Steps)-1]
	s.Plain, s.Stored = b.Sizes.Plain, b.Sizes.Stored
	q.rep.Backups = append(q.rep.Backups, b.ID)
	q.rep.DataBytes = max(q.rep.DataBytes, b.Sizes.Plain)
	return b, err
}

// restore makes a second server of the last link.
func (q *quickstart) restore(ctx context.Context, b coffer.Backup) (coffer.Conn, error) {
	var conn coffer.Conn
	q.say("restoring the last increment into a second server")
	err := q.time("restore", func() error {
		j, err := q.parts.db.CreateJob(ctx, records.NewJob{
			Kind: coffer.JobRestore, Project: localProject, Backup: b.ID, Now: time.Now(),
			Spec: coffer.Spec{Target: &coffer.Target{Name: "restored", Agent: q.parts.agent.ID}},
		})
		if err != nil {
			return err
		}
		if err := message.Dispatch.Cast(ctx, q.parts.bus, message.TaskManager, message.JobRef{Job: j.ID}); err != nil {
			return err
		}
		if err := q.parts.wait(ctx, q.env, localProject, j.ID); err != nil {
			return err
		}
		in, err := q.parts.db.InstanceByID(ctx, j.Instance)
		conn = in.Conn
		return err
	})
	return conn, err
}

func (q *quickstart) compare(ctx context.Context, conn coffer.Conn, j workload.Journal, before, after time.Time) error {
	restored, err := host.OpenDB(conn)
	if err != nil {
		return err
	}
	defer restored.Close()
	r, err := workload.Check(ctx, restored, j, before, after)
	q.rep.Transactions, q.rep.Rows = r.Transactions, r.Rows
	q.rep.Problems = append(q.rep.Problems, r.Problems...)
	if err != nil && len(r.Problems) == 0 {
		return err
	}
	if err := workload.CheckTables(ctx, restored, workload.DefaultSchema); err != nil {
		q.rep.Problems = append(q.rep.Problems, err.Error())
	}
	return q.checksums(ctx, restored)
}

func (q *quickstart) checksums(ctx context.Context, restored *sql.DB) error {
	want, err := workload.Checksums(ctx, q.source, workload.DefaultSchema)
	if err != nil {
		return err
	}
	got, err := workload.Checksums(ctx, restored, workload.DefaultSchema)
	if err != nil {
		return err
	}
	for name, sum := range want {
		if g, ok := got[name]; !ok || g != sum {
			q.rep.Problems = append(q.rep.Problems, fmt.Sprintf("table %s has another checksum than in the source", name))
		}
	}
	if len(got) != len(want) {
		q.rep.Problems = append(q.rep.Problems, fmt.Sprintf("%d tables were restored, the source has %d", len(got), len(want)))
	}
	q.rep.Tables = len(want)
	return nil
}
