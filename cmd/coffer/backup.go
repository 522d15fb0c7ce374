package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/rest"
	"github.com/cofferdb/coffer/trove"
)

type backupCmd struct {
	Create     backupCreateCmd     `cmd:"" help:"Ask for a backup of an instance."`
	List       backupListCmd       `cmd:"" help:"List backups, the last changed first."`
	Show       backupShowCmd       `cmd:"" help:"Show one backup with its sizes, position and verdict."`
	Events     backupEventsCmd     `cmd:"" help:"Show what happened while a backup was made."`
	Wait       backupWaitCmd       `cmd:"" help:"Follow a backup to its end."`
	Synthesize backupSynthesizeCmd `cmd:"" help:"Join an increment and all that it stands on into a new full, without the database."`
	Tables     backupTablesCmd     `cmd:"" help:"List the tables of a backup and their sizes; no data is read."`
	Verify     backupVerifyCmd     `cmd:"" help:"Read every part and frame of a backup and check their sums."`
	Cancel     backupCancelCmd     `cmd:"" help:"Stop a running backup."`
	Delete     backupDeleteCmd     `cmd:"" help:"Delete a backup from the store."`
	Import     backupImportCmd     `cmd:"" help:"Bring in a backup that OpenStack's Trove has written."`
	Run        backupRunCmd        `cmd:"" help:"Back up one database without any server, for cron."`
}

type backupCreateCmd struct {
	Instance    string `arg:"" help:"The instance's id or name."`
	Name        string `help:"The backup's name." default:"backup"`
	Description string `help:"A note."`
	Parent      string `placeholder:"ID" help:"Make an increment onto this backup." xor:"base"`
	Incremental bool   `help:"Make an increment onto the newest good backup; the first one is a full." xor:"base"`
	Container   string `help:"Container to store it in."`
	Method      string `placeholder:"NAME" help:"How to make it: MariaBackup, InnoBackupEx, XtraBackup or MySQLDump; for an administrator. By default the agent's configuration says."`
	Wait        bool   `help:"Follow it to its end; interrupted, it is asked whether to cancel." default:"false"`
	Key         string `name:"idempotency-key" placeholder:"KEY" help:"Asked twice with one key, one backup is made."`
}

// Help is shown by --help.
func (backupCreateCmd) Help() string {
	return `Examples:
  coffer backup create shop --wait
  coffer backup create shop --incremental --name nightly

` + exitHelp
}

// Run asks for the backup, and follows it with --wait.
func (c *backupCreateCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	in, err := findInstance(e, cl, c.Instance)
	if err != nil {
		return err
	}
	want := trove.BackupCreate{Name: c.Name, Instance: string(in.ID), ParentID: c.Parent, SwiftContainer: c.Container, Method: c.Method}
	if c.Description != "" {
		want.Description = &c.Description
	}
	if c.Incremental {
		want.Incremental = 1
	}
	b, err := cl.CreateBackup(e.ctx, want, c.Key)
	if err != nil {
		return err
	}
	if !c.Wait {
		return showBackup(e, cl, coffer.BackupID(b.ID))
	}
	if !e.json {
		fmt.Fprintf(e.err, "backup %s of %s\n", b.ID, in.Name)
	}
	return c.wait(e, cl, coffer.BackupID(b.ID))
}

func (c *backupCreateCmd) wait(e *environment, cl *client.Client, id coffer.BackupID) error {
	_, err := e.follow(cl, coffer.JobID(id))
	if e.ctx.Err() == nil {
		if err != nil {
			return err
		}
		return showBackup(e, cl, id)
	}
	return e.interrupted(cl, coffer.JobID(id))
}

type backupListCmd struct {
	Instance string `help:"Only of this instance (id or name)."`
	Limit    int    `help:"At most so many; 0 is all." default:"0"`
}

// backupRows is a list of backups as it is printed.
type backupRows []trove.Backup

func (l backupRows) text(w io.Writer) {
	rows := make([][]string, 0, len(l))
	for _, b := range l {
		kind, size, parent := "full", "", ""
		if b.ParentID != nil {
			kind, parent = "incremental", *b.ParentID
		}
		if b.Size != nil {
			size = strconv.FormatFloat(float64(*b.Size), 'f', 2, 64)
		}
		rows = append(rows, []string{b.ID, b.Name, b.Status, kind, size, parent, timeText(b.Updated.Time)})
	}
	table(w, []string{"ID", "NAME", "STATUS", "TYPE", "GIB", "PARENT", "UPDATED"}, rows)
}

// Run lists every page, or the first ones up to the limit.
func (c *backupListCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	q := client.BackupQuery{Limit: 100}
	if c.Instance != "" {
		in, err := findInstance(e, cl, c.Instance)
		if err != nil {
			return err
		}
		q.Instance = in.ID
	}
	all := backupRows{}
	for {
		page, next, err := cl.Backups(e.ctx, q)
		if err != nil {
			return err
		}
		all = append(all, page...)
		if c.Limit > 0 && len(all) >= c.Limit {
			all = all[:c.Limit]
			break
		}
		if next < 0 || len(page) == 0 {
			break
		}
		q.Offset = next
	}
	return e.show(all)
}

type backupShowCmd struct {
	ID     string `arg:"" help:"The backup's id."`
	Recipe bool   `help:"Print the stock commands that restore it without Coffer."`
}

// Run shows one backup.
func (c *backupShowCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	if c.Recipe {
		return showRecipe(e, cl, coffer.BackupID(c.ID))
	}
	return showBackup(e, cl, coffer.BackupID(c.ID))
}

func showBackup(e *environment, cl *client.Client, id coffer.BackupID) error {
	b, err := cl.BackupDetail(e.ctx, id)
	if err != nil {
		return err
	}
	return e.show(backupOut{b.Backup})
}

// findInstance takes an id or a name that only one instance has.
func findInstance(e *environment, cl *client.Client, want string) (rest.Instance, error) {
	if coffer.IsUUID(want) {
		return cl.Instance(e.ctx, coffer.InstanceID(want))
	}
	var found []rest.Instance
	var after coffer.InstanceID
	for {
		page, err := cl.Instances(e.ctx, after)
		if err != nil {
			return rest.Instance{}, err
		}
		for _, in := range page.Instances {
			if in.Name == want {
				found = append(found, in)
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	switch len(found) {
	case 0:
		return rest.Instance{}, coffer.E(coffer.KindNotFound, "find the instance", "none is called %q", want).
			WithHint("see: coffer instance list")
	case 1:
		return found[0], nil
	}
	return rest.Instance{}, coffer.E(coffer.KindInvalid, "find the instance", "%d are called %q", len(found), want).
		WithHint("name it by its id; see: coffer instance list")
}
