package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/rest"
)

type backupEventsCmd struct {
	ID string `arg:"" help:"The id of a backup, or of any job."`
}

// eventRows is a diary as it is printed.
type eventRows []coffer.Event

func (l eventRows) text(w io.Writer) {
	for _, x := range l {
		fmt.Fprintf(w, "%s  %-5s  %-16s  %s\n", timeText(x.At), x.Level, x.Code, x.Text)
	}
}

// Run prints the whole diary.
func (c *backupEventsCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	all := eventRows{}
	var after int64
	for {
		page, err := cl.Events(e.ctx, coffer.JobID(c.ID), after, 0)
		if err != nil {
			return err
		}
		if len(page.Events) == 0 {
			return e.show(all)
		}
		all = append(all, page.Events...)
		after = page.Events[len(page.Events)-1].ID
	}
}

type backupWaitCmd struct {
	ID string `arg:"" help:"The id of a backup, or of any job."`
}

// Help is shown by --help.
func (backupWaitCmd) Help() string {
	return "Interrupting it cancels nothing: the backup goes on.\n\n" + exitHelp
}

// jobOut is a job as it is printed.
type jobOut struct{ rest.Job }

func (j jobOut) text(w io.Writer) {
	reason, hint, phase := "", "", j.Phase
	if j.Error != nil {
		reason, hint = j.Error.Message, j.Error.Hint
	}
	if !j.State.Running() {
		phase = "" // of what has ended, the last phase that was heard of says nothing
	}
	fields(w, "job", string(j.ID), "kind", string(j.Kind), "state", string(j.State), "phase", phase,
		"backup", string(j.Backup), "instance", string(j.Instance), "reason", reason, "next", hint,
		"created", timeText(j.CreatedAt), "ended", timePtr(j.EndedAt))
}

// Run follows the job.
func (c *backupWaitCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	j, err := e.follow(cl, coffer.JobID(c.ID))
	if e.ctx.Err() != nil {
		fmt.Fprintf(e.err, "the job goes on; follow it again with: coffer backup wait %s\n", c.ID)
		return exitCode(exitStopped)
	}
	if err != nil {
		return err
	}
	return e.show(jobOut{j})
}

type backupVerifyCmd struct {
	ID string `arg:"" help:"The backup's id."`
}

// Run verifies and shows the verdict.
func (c *backupVerifyCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	s, err := cl.Verify(e.ctx, coffer.BackupID(c.ID))
	if err != nil {
		return err
	}
	if _, err := e.follow(cl, s.Job.ID); err != nil {
		return err
	}
	return showBackup(e, cl, coffer.BackupID(c.ID))
}

type backupCancelCmd struct {
	ID string `arg:"" help:"The id of a backup, or of any job."`
}

// Run cancels and waits for the end.
func (c *backupCancelCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	if _, err := cl.Cancel(e.ctx, coffer.JobID(c.ID)); err != nil {
		return err
	}
	j, err := e.follow(cl, coffer.JobID(c.ID))
	if err != nil && j.State != coffer.Failed {
		return err
	}
	return e.show(jobOut{j})
}

type backupDeleteCmd struct {
	ID    string `arg:"" help:"The backup's id."`
	Force bool   `help:"Delete the backups that stand on it too."`
	Plan  bool   `help:"Only show what would be deleted."`
}

// deleteOut is a delete's plan as it is printed.
type deleteOut struct{ rest.DeletePlan }

func (d deleteOut) text(w io.Writer) {
	rows := make([][]string, 0, len(d.Deletes))
	for _, l := range d.Deletes {
		rows = append(rows, []string{string(l.ID), l.Name, l.Type, string(l.State), bytesText(l.Sizes.Stored)})
	}
	table(w, []string{"DELETES", "NAME", "TYPE", "STATUS", "STORED"}, rows)
	for _, s := range d.Stops {
		fmt.Fprintln(w, "not possible:", s)
	}
}

// Run deletes and waits until the store has forgotten.
func (c *backupDeleteCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	p, err := cl.PlanDelete(e.ctx, coffer.BackupID(c.ID), c.Force)
	if err != nil {
		return err
	}
	if c.Plan {
		if err := e.show(deleteOut{p}); err != nil || len(p.Stops) == 0 {
			return err
		}
		return exitCode(exitBusy)
	}
	s, err := cl.DeleteBackup(e.ctx, coffer.BackupID(c.ID), c.Force)
	if err != nil {
		return err
	}
	if _, err := e.follow(cl, s.Job.ID); err != nil {
		return err
	}
	return e.show(deleteOut{p})
}

// interrupted asks on a terminal whether the job should be cancelled; elsewhere it
// goes on.
func (e *environment) interrupted(cl *client.Client, id coffer.JobID) error {
	yes := false
	if e.terminal {
		fmt.Fprintf(e.err, "\ncancel the job %s? [y/N] ", id)
		line, err := bufio.NewReader(e.in).ReadString('\n')
		yes = err == nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y")
	}
	if !yes {
		fmt.Fprintf(e.err, "the job goes on; follow it with: coffer backup wait %s\n", id)
		return exitCode(exitStopped)
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(e.ctx), 10*time.Second)
	defer stop()
	if _, err := cl.Cancel(ctx, id); err != nil {
		return err
	}
	fmt.Fprintln(e.err, "the job is being cancelled")
	return exitCode(exitStopped)
}
