package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

type backupTablesCmd struct {
	ID string `arg:"" help:"The backup's id; any link of a chain."`
}

// Help is shown by --help.
func (backupTablesCmd) Help() string {
	return `Lists the tables that can be restored one by one, from the backup's indexes: no data is read. SIZE is of the table's files once they are restored; STORED and PLAIN are what a restore of it reads of the chain, stored and before compression, beside what is read with any table.

Examples:
  coffer backup tables 6a1f…
  coffer -o json backup tables 6a1f…

` + exitHelp
}

// tablesOut is a backup's tables as they are printed.
type tablesOut struct{ rest.Tables }

func (o tablesOut) text(w io.Writer) {
	rows := make([][]string, 0, len(o.Tables.Tables))
	for _, t := range o.Tables.Tables {
		parts := ""
		if t.Partitions > 0 {
			parts = strconv.Itoa(t.Partitions)
		}
		kind := t.Engine
		if kind == "" {
			kind = "-"
		}
		rows = append(rows, []string{coffer.TableText(t.Database, t.Name), kind, parts, bytesText(t.Size), bytesText(t.Stored), bytesText(t.Plain)})
	}
	table(w, []string{"TABLE", "ENGINE", "PARTITIONS", "SIZE", "STORED", "PLAIN"}, rows)
	fmt.Fprintf(w, "read with any of them: %s stored, %s plain\n", bytesText(o.StoredBytes), bytesText(o.PlainBytes))
}

// Run lists every page.
func (c *backupTablesCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	all := rest.Tables{Tables: []rest.Table{}}
	for {
		page, err := cl.Tables(e.ctx, coffer.BackupID(c.ID), all.Next, 0)
		if err != nil {
			return err
		}
		page.Tables = append(all.Tables, page.Tables...)
		if all = page; all.Next == "" {
			return e.show(tablesOut{all})
		}
	}
}
