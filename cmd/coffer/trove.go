package main

import (
	"cmp"
	"os"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/trovelink"
	"github.com/cofferdb/coffer/rest"
)

type troveCmd struct {
	Adopt  troveAdoptCmd  `cmd:"" help:"Look after an instance whose guest agent is Trove's own."`
	Import troveImportCmd `cmd:"" help:"Take over what a database of Trove knows: backups, strategies, quotas."`
}

type troveAdoptCmd struct {
	configFlag
	Project   string `arg:"" help:"The instance's project, by its id in Keystone."`
	ID        string `arg:"" name:"instance" help:"The instance's id: guest_id in its guest_info.conf, and the id that Trove shows."`
	Name      string `required:"" help:"A name for the instance."`
	Datastore string `default:"mariadb" help:"What the database is: mariadb or mysql."`
	Version   string `required:"" placeholder:"10.11" help:"Its version, by Trove's name."`
}

// Help is shown by --help.
func (troveAdoptCmd) Help() string {
	return `Works on the records that the configuration names, not through the API: run it where the control plane runs, with a server that keeps its records in a file stopped. The configuration says guests = true in [trove]. From then on a backup of the instance is asked of its guest. Nothing is asked of the guest now: a wrong id makes backups that FAIL. To end it: coffer instance delete.

Examples:
  coffer trove adopt 6f70656e737461636b20697320676f6f 44b277eb-39be-4921-be31-3d61b43651d7 --name shop --version 10.11

` + exitHelp
}

// Run writes the instance's row.
func (c *troveAdoptCmd) Run(e *environment) error {
	const op = "adopt the instance"
	cfg, err := c.load(true)
	if err != nil {
		return err
	}
	switch {
	case !cfg.Trove.Guests:
		return coffer.E(coffer.KindInvalid, op, "%s has no guests of Trove's", cmp.Or(cfg.File, "the configuration")).
			WithHint("set guests = true in [trove]; see: coffer config example")
	case !coffer.IsUUID(c.ID):
		return coffer.E(coffer.KindInvalid, op, "%q is no instance's id", c.ID).WithHint("see: openstack database instance list")
	case c.Project == "" || c.Name == "" || c.Version == "":
		return coffer.E(coffer.KindInvalid, op, "project, name and version are not empty").WithHint("coffer trove adopt --help")
	}
	if err := check(cfg, config.Everything); err != nil {
		return err
	}
	e.home(cfg.Server.State, defaultState())
	cfg = embedded(cfg, e.state)
	in := coffer.Instance{
		ID: coffer.InstanceID(c.ID), Project: coffer.ProjectID(c.Project), Name: c.Name,
		Datastore: coffer.Datastore{Type: c.Datastore, Version: c.Version}, Created: clock(),
	}
	in.Datastore.VersionID = api.VersionID(in.Datastore)
	if in, err = c.keep(e, cfg, in); err != nil {
		return err
	}
	return e.show(instanceOut{Instance: rest.Instance{
		ID: in.ID, Project: in.Project, Name: in.Name, Kind: in.Kind, Agent: in.Agent, Datastore: in.Datastore, Status: in.Status,
		CreatedAt: in.Created.UTC(), UpdatedAt: in.Updated.UTC(),
	}, Warnings: []string{"no commit is granted to a guest, nobody reads what it stores, and nothing proves who reports: see docs/operators/trove.md"}})
}

// keep writes the row, and reads it back.
func (c *troveAdoptCmd) keep(e *environment, cfg config.Config, in coffer.Instance) (coffer.Instance, error) {
	if cfg.Records.URL == "" {
		lock, err := c.alone(e)
		if err != nil {
			return in, err
		}
		defer lock.Close()
	}
	db, err := openRecords(e.ctx, cfg, e.logger(cfg.Log))
	if err != nil {
		return in, err
	}
	defer db.Close()
	err = (&trovelink.Control{Records: db}).Adopt(e.ctx, in)
	if coffer.IsKind(err, coffer.KindExists) {
		return in, coffer.E(coffer.KindConflict, "adopt the instance", "%w", err).WithHint("see: coffer instance show %s", in.ID)
	}
	if err != nil {
		return in, err
	}
	return db.Instance(e.ctx, in.Project, in.ID)
}

// alone takes the state folder, whose records are a file.
func (c *troveAdoptCmd) alone(e *environment) (*os.File, error) {
	if err := e.state.make(); err != nil {
		return nil, err
	}
	return e.state.lock()
}
