package main

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/trovedb"
)

type troveImportCmd struct {
	configFlag
	DB       string `name:"db" required:"" type:"path" placeholder:"FILE" help:"File whose first line is the URL of Trove's database, as SQLAlchemy has it; or trove.conf."`
	Store    string `help:"The store of kind swift that reads the objects; by default the first one."`
	Project  string `placeholder:"ID" help:"Only this project."`
	Plan     bool   `help:"Say what would be taken, and write nothing."`
	Accounts bool   `name:"any-account" help:"Take backups, too, that do not lie in the account of their own project."`
	Insecure bool   `help:"Reach a database of another machine in plaintext."`
}

// Help is shown by --help.
func (troveImportCmd) Help() string {
	return `Takes over what a database of OpenStack's Trove knows: backups, with their ids, chains and times, the strategies that choose containers, and quotas of backups. Trove's database is only read. Each backup becomes an import: a running task manager reads it to its end before it is COMPLETED. The objects stay Trove's.

It can be repeated: what is there stays as it is, what has FAILED is read again, and what cannot be taken is listed. Works on the records that the configuration names, not through the API: run it where the control plane runs, with a server that keeps its records in a file stopped.

Examples:
  coffer trove import --db /etc/trove/trove.conf --plan
  coffer trove import --config /etc/coffer/coffer.toml --db /root/trove-url --store far

` + exitHelp
}

// troveImportOut is a report as it is printed.
type troveImportOut struct {
	trovedb.Report
	Planned bool `json:"planned,omitempty"`
}

func (o troveImportOut) text(w io.Writer) {
	verb := "taken"
	if o.Planned {
		verb = "to be taken"
	}
	fields(w, "backups "+verb, strconv.Itoa(o.Backups), "known before", strconv.Itoa(o.Known),
		"strategies "+verb, strconv.Itoa(o.Strategies), "quotas "+verb, strconv.Itoa(o.Quotas), "the same before", strconv.Itoa(o.Same),
		"left", strconv.Itoa(len(o.Left)))
	for _, l := range o.Left {
		fmt.Fprintf(w, "%s %s: %s\n", l.What, l.ID, l.Why)
	}
}

// Run takes over, or says what it would.
func (c *troveImportCmd) Run(e *environment) error {
	cfg, err := c.whole(e)
	if err != nil {
		return err
	}
	st, err := openStores(cfg, false)
	if err != nil {
		return err
	}
	name, err := st.swiftStore(c.Store)
	if err != nil {
		return err
	}
	content, err := c.read(e)
	if err != nil {
		return err
	}
	plan := trovedb.Judge(content, trovedb.Rules{Store: name, AnyAccount: c.Accounts, OnlyProject: coffer.ProjectID(c.Project)})
	db, closing, err := ownRecords(e, cfg)
	if err != nil {
		return err
	}
	defer closing()
	report, err := trovedb.Take(e.ctx, db, plan, clock(), c.Plan)
	if err != nil {
		return err
	}
	return e.show(troveImportOut{report, c.Plan})
}

func (c *troveImportCmd) read(e *environment) (trovedb.Content, error) {
	url, err := trovedb.ReadURL(c.DB)
	if err != nil {
		return trovedb.Content{}, err
	}
	db, err := trovedb.Open(url, c.Insecure)
	if err != nil {
		return trovedb.Content{}, err
	}
	defer db.Close()
	return trovedb.Read(e.ctx, db)
}

// ownRecords opens the records, alone where they are a file in the state folder.
func ownRecords(e *environment, cfg config.Config) (db *records.DB, closing func(), err error) {
	var lock *os.File
	if cfg.Records.URL == "" {
		if err := e.state.make(); err != nil {
			return nil, nil, err
		}
		if lock, err = e.state.lock(); err != nil {
			return nil, nil, err
		}
	}
	closing = func() {
		if db != nil {
			db.Close()
		}
		if lock != nil {
			lock.Close()
		}
	}
	if db, err = openRecords(e.ctx, cfg, e.logger(cfg.Log)); err != nil {
		closing()
		return nil, nil, err
	}
	return db, closing, nil
}
