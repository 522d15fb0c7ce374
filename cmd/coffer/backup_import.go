package main

import (
	"fmt"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/trove"
)

type backupImportCmd struct {
	Location  string  `arg:"" help:"Where it lies: Trove's locationRef, https://…/v1/AUTH_project/container/ID.xbstream.gz."`
	Name      string  `help:"The backup's name here." default:"imported"`
	Parent    string  `placeholder:"ID" help:"The backup here that it stands on, where its object does not say it."`
	Datastore string  `placeholder:"TYPE[-VERSION]" help:"What it is of, e.g. mariadb-10.11; the server's first otherwise."`
	Size      float64 `placeholder:"GIB" help:"What was used of the data's disk, as Trove shows it." default:"0"`
	NoWait    bool    `help:"Do not follow it to its end."`
}

// Help is shown by --help.
func (backupImportCmd) Help() string {
	return `Brings in a backup that OpenStack's Trove has written into Swift, of any era, with all that it stands on. Each is read to its end and its checksum compared before it is COMPLETED. Nothing is copied or changed: the object stays Trove's, and a delete here takes the row alone. Asked again, it is the same backup; one that had FAILED is read again.

The server needs a store of kind swift on the same Swift server; what old agents have encrypted needs its trove_key_file.

Examples:
  coffer backup import https://swift.example/v1/AUTH_6f70/database_backups/a9832168-….xbstream.gz --name old-monday
  coffer restore BACKUP

` + exitHelp
}

// Run asks for the import and follows it.
func (c *backupImportCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	version, err := c.version(e, cl)
	if err != nil {
		return err
	}
	b, err := cl.CreateBackup(e.ctx, trove.BackupCreate{
		Name: c.Name, ParentID: c.Parent,
		RestoreFrom: &trove.RestoreFrom{RemoteLocation: c.Location, LocalDatastoreVersionID: version, Size: c.Size},
	}, "")
	if err != nil {
		return err
	}
	id := coffer.BackupID(b.ID)
	if c.NoWait || !coffer.State(b.Status).Running() {
		return showBackup(e, cl, id)
	}
	if !e.json {
		fmt.Fprintf(e.err, "backup %s is read\n", b.ID)
	}
	_, err = e.follow(cl, coffer.JobID(id))
	if e.ctx.Err() != nil {
		return e.interrupted(cl, coffer.JobID(id))
	}
	if err != nil {
		return err
	}
	return showBackup(e, cl, id)
}

// version is the id of the datastore's version that was named.
func (c *backupImportCmd) version(e *environment, cl *client.Client) (string, error) {
	all, err := cl.Datastores(e.ctx)
	if err != nil {
		return "", err
	}
	for _, d := range all {
		for _, v := range d.Versions {
			if c.Datastore == "" || c.Datastore == d.Name && v.ID == d.DefaultVersion || c.Datastore == d.Name+"-"+v.Name {
				return v.ID, nil
			}
		}
	}
	return "", coffer.E(coffer.KindNotFound, "find the datastore", "the server knows no %q", c.Datastore).
		WithHint("leave out --datastore")
}
