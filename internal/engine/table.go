package engine

import (
	"context"
	"io"

	"github.com/cofferdb/coffer"
)

// TableRestorer is an engine that can take one table out of a chain that was backed
// up as files.
type TableRestorer interface {
	// Tables lists the tables at the chain's end, by their names, from the indexes
	// alone. KindUnsupported says why they cannot be told.
	Tables(ctx context.Context, chain []Layer) (Tables, error)
	// LookTable says what a restore of the table would read and write, and which
	// tools it uses; stops are why it cannot be done now. The error is of the store.
	LookTable(ctx context.Context, o TableOrder, chain []Layer) (TableLook, error)
	// RestoreTable takes the table out of the chain, in a server of its own that
	// nobody else can reach, and hands it to where the order says. Whatever happens,
	// that server and its files are gone when it returns.
	RestoreTable(ctx context.Context, o TableOrder, chain []Layer) (TableResult, error)
	// DropLoad removes the half-loaded table of a job that was killed from the
	// engine's server: the order's Job and database say which.
	DropLoad(ctx context.Context, o TableOrder) error
}

// TableOrder is what table and where it goes.
type TableOrder struct {
	Job      coffer.JobID
	Database string
	Name     string
	Dir      string // private, empty, for the throw-away server's files
	UID, GID int    // who that server runs as; ignored unless root
	Memory   int64  // bytes for prepare; 0 is 128 MiB
	Progress func(Progress)
	Event    func(coffer.Event)
	// Dump gets the table as SQL, unless Load puts it into the engine's server.
	Dump    io.Writer
	Load    bool
	As      string // the database there; "" is the table's own
	Replace bool   // in the place of the table of that name, else beside it
	// Loading is told before anything is made in the server; its error stops it.
	Loading func() error
}

// TableResult is what became of a table.
type TableResult struct {
	Name  string // as it is called there
	Rows  int64  // -1: not counted
	Bytes int64  // of SQL
}

// TableLook is what a restore of one table would meet.
type TableLook struct {
	Plain  int64 // bytes of the layers' streams that it reads
	Stored int64 // of what is stored, about
	Need   int64 // of space in Dir
	Tools  map[string]string
	Stops  []string
}

// Tables are those of a chain.
type Tables struct {
	List []Table
	// What is read with any one of them: the system tablespace, undo and redo.
	Plain, Stored int64
}

// Table is one table as the indexes show it.
type Table struct {
	Database   string
	Name       string
	Engine     string // by its files: InnoDB, Aria, MyISAM, CSV, ARCHIVE; "" cannot be told: it has no files of its own, or is a view
	Partitions int    // 0: it is not partitioned
	Size       int64  // bytes of its files once they are restored
	Plain      int64  // of the layers' streams that it is made from
	Stored     int64  // the part of what is stored that these lie in; neighbours share its edges
}

// Locator is a [Layer] that knows where in what is stored its plain bytes lie.
type Locator interface {
	// Stored gives the stored bytes, from and to, that n plain bytes from off are
	// read from.
	Stored(ctx context.Context, off, n int64) (from, to int64, err error)
}
