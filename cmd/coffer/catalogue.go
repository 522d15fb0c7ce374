package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/catalogue"
)

type catalogueCmd struct {
	Rebuild catalogueRebuildCmd `cmd:"" help:"Make the records' rows anew from what lies in a store."`
}

type catalogueRebuildCmd struct {
	configFlag
	Store   string `help:"The store's name in the configuration." required:""`
	Project string `help:"Only backups of this project."`
}

// Help is shown by --help.
func (catalogueRebuildCmd) Help() string {
	return `Works on the records and the store that the configuration names, not through the API: run it where the server's state folder is, with the server stopped, or with records on a database's server at any time. Nothing in the store is changed, rows that exist are not either, and it can be repeated. Backups whose data is missing get a row that is FAILED and says so; deleted ones get none.

Examples:
  coffer catalogue rebuild --store default
  coffer catalogue rebuild --config /etc/coffer/coffer.toml --store bucket --project shop

` + exitHelp
}

// rebuildOut is a rebuild's report as it is printed.
type rebuildOut struct{ catalogue.Report }

func (r rebuildOut) text(w io.Writer) {
	fields(w, "manifests", strconv.Itoa(r.Manifests), "rows made", strconv.Itoa(r.Made), "of those FAILED", strconv.Itoa(r.Failed),
		"known before", strconv.Itoa(r.Known), "dead", strconv.Itoa(r.Dead), "held", strconv.Itoa(r.Held), "keys made", strconv.Itoa(r.Keys))
	for _, p := range r.Problems {
		fmt.Fprintln(w, p)
	}
}

// Run rebuilds.
func (c *catalogueRebuildCmd) Run(e *environment) error {
	cfg, err := c.whole(e)
	if err != nil {
		return err
	}
	if cfg.Records.URL == "" {
		if err := e.state.make(); err != nil {
			return err
		}
		lock, err := e.state.lock()
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	all, err := openStores(cfg, false)
	if err != nil {
		return err
	}
	st, err := all.Open(e.ctx, c.Store)
	if err != nil {
		return err
	}
	db, err := openRecords(e.ctx, cfg, e.logger(cfg.Log))
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := catalogue.Rebuild(e.ctx, catalogue.Options{
		Name: c.Store, Store: st, URL: func(object string) string { return all.URL(c.Store, object) },
		Records: db, Project: coffer.ProjectID(c.Project),
	})
	if err != nil {
		return err
	}
	return e.show(rebuildOut{r})
}
