package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
)

type backupSynthesizeCmd struct {
	ID     string `arg:"" help:"The backup's id: an increment."`
	Name   string `help:"The new backup's name; by default the same."`
	NoWait bool   `help:"Do not follow it."`
}

// Help is shown by --help.
func (backupSynthesizeCmd) Help() string {
	return `Joins an increment and all that it stands on into a new full backup, from store to store: the database is not asked and need not run. The full is what the increment is: it restores to the same moment, with Coffer or with the stock tools, and the next increment can stand on it. The chain stays until retention or a delete takes it. Encrypted backups are read by an agent beside the database that has the identity.

Examples:
  coffer backup synthesize 6a1f…
  coffer backup synthesize 6a1f… --name monthly -o json

` + exitHelp
}

// Run starts the job, follows it and shows the new backup.
func (c *backupSynthesizeCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	s, err := cl.Synthesize(e.ctx, coffer.BackupID(c.ID), rest.Synthesize{Name: c.Name})
	if err != nil {
		return err
	}
	if !e.json {
		fmt.Fprintf(e.err, "full backup %s of the chain of %s\n", s.Job.Backup, c.ID)
	}
	if !c.NoWait {
		if _, err = e.follow(cl, s.Job.ID); e.ctx.Err() != nil {
			return e.interrupted(cl, s.Job.ID)
		}
		if err != nil {
			return err
		}
	}
	return showBackup(e, cl, s.Job.Backup)
}

// shorten makes room in a chain that has as many backups as --max-links allows: its
// newest link becomes a full, on which the increment stands. It reports false where
// that cannot be, so that a full is taken of the database.
func (c *backupRunCmd) shorten(ctx context.Context, e *environment, p *parts, list []coffer.Backup) (bool, error) {
	newest := newestGood(list)
	if c.MaxLinks <= 0 || newest == nil || newest.Depth == 0 || chainLength(list) < c.MaxLinks {
		return true, nil
	}
	b, err := p.db.CreateSynthesis(ctx, records.NewSynthesis{Project: localProject, Backup: newest.ID, Quota: -1, Now: time.Now()})
	if err == nil {
		_, err = p.made(ctx, e, b)
	}
	if err == nil || ctx.Err() != nil {
		return err == nil, err
	}
	if !e.json {
		fmt.Fprintf(e.err, "the chain cannot be joined (%v): taking a full backup\n", err)
	}
	return false, nil
}
