// Package engine is the contract for a database's own backup tools: what we ask
// of them, and what they must have proven before we call a backup good. Package
// enginetest is the law; the folders beneath this one are the databases.
//
// An engine is bound to one server (or, for a restore, to none): it knows how to
// look at it, how to make its tool stream a backup into a [Sink], and how to turn
// layers back into a data folder. What the stream holds is known to the engine
// alone: the archive beneath sees bytes.
package engine

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/cofferdb/coffer"
)

// Engine runs the tools of one database product.
type Engine interface {
	// Probe looks at the server before anything is written: version, sizes,
	// lineage, position, tools, grants. With a base it also refuses (KindNeedFull,
	// with the reason) every increment that would stand on the wrong base.
	Probe(ctx context.Context, base Base) (Facts, error)
	// Backup streams one backup into out: a full for the zero Base, else an
	// increment. It returns nil only if the tool exited 0 AND said its closing
	// words AND everything the stream must hold was seen; before that it has
	// left the new nonce in the data folder.
	Backup(ctx context.Context, out Sink, base Base, opt Options) (Result, error)
	// Restore turns layers (the full first) into a data folder that a server of
	// the same version can start from. It checks closing words at every step.
	Restore(ctx context.Context, target Target, layers []Layer) error
}

// Base is the parent that an increment stands on. The zero Base asks for a full.
type Base struct {
	Backup   coffer.BackupID
	Position coffer.Position
	Summary  []byte // the engine's own, of the whole chain; from Result.Summary of the parent
}

// Full reports whether b asks for a full backup.
func (b Base) Full() bool { return b.Backup == "" }

// Facts is what Probe saw.
type Facts struct {
	Datastore coffer.Datastore
	Tool      string // path of the backup tool
	ToolVer   string
	DataDir   string
	DataBytes int64 // used on the data filesystem
	NonTrans  int64 // bytes of Aria and MyISAM tables: predicts the second hold
	RedoBytes int64 // capacity of the redo log
	Position  coffer.Position
	Method    Method // what a backup would be made by; "" is MariaBackup
	Warnings  []string
}

// Options bound one backup's effect on its database.
type Options struct {
	MaxDDLWait       time.Duration // 0 is 30 s
	MaxBlockNonTrans time.Duration // 0 is 60 s
	MaxBlock         time.Duration // 0 is 10 s
	SpoolDir         string        // where the tail goes while locks are held; "" is the default
	SpoolBytes       int64         // 0 is 256 MiB
	Progress         func(Progress)
	Event            func(coffer.Event) // Level, Code, Text and Facts are filled
	// Stock says that the chain must be restorable by the stock tool alone: what
	// only a merge could restore is refused (KindNeedFull).
	Stock bool
}

// Progress is told as the backup runs.
type Progress struct {
	Phase string // "start", "copy", "lock", "tail"
	Plain int64  // bytes out of the tool
	Total int64  // estimate
}

// Sink takes the plain stream and, for the index, what it is made of.
type Sink interface {
	io.Writer
	// Entry tells of one file of the stream, at its end, in stream order.
	Entry(Entry) error
}

// EntryKind says what a file in the stream is.
type EntryKind string

// The kinds of entries. Rename and Remove are orders inside the stream.
const (
	KindFile   EntryKind = "file"   // a whole file that is no tablespace
	KindSpace  EntryKind = "space"  // a whole tablespace
	KindDelta  EntryKind = "delta"  // changed pages of a tablespace
	KindMeta   EntryKind = "meta"   // the .meta of a delta
	KindPages  EntryKind = "pages"  // no file: some of the pages of the delta Name, which comes later
	KindNew    EntryKind = "new"    // .new, .ren, .del: what DDL did during the backup
	KindRen    EntryKind = "ren"    //
	KindDel    EntryKind = "del"    //
	KindRename EntryKind = "rename" // order: Name becomes To
	KindRemove EntryKind = "remove" // order: Name is gone

	// Of a dump: what stands before its databases, and the sections of one of them.
	KindHead     EntryKind = "head"
	KindDatabase EntryKind = "database"
)

// Entry is one line of an index's file table.
type Entry struct {
	Name     string    `json:"name"`
	To       string    `json:"to,omitempty"` // KindRename
	Kind     EntryKind `json:"kind"`
	Size     int64     `json:"size"`                // bytes of the file as streamed
	Inline   []byte    `json:"inline,omitempty"`    // whole content of small control files
	Space    *uint32   `json:"space,omitempty"`     // InnoDB space id
	PageSize int       `json:"page_size,omitempty"` // KindDelta: its pages were listed
	Page0    bool      `json:"page0,omitempty"`     // the stream holds the tablespace's page 0
	FSPSize  uint32    `json:"fsp_size,omitempty"`  // pages of the tablespace, as page 0 says
	Pages    int64     `json:"pages,omitempty"`     // KindDelta: how many it has
	Runs     []byte    `json:"runs,omitempty"`      // KindPages: their numbers, as docs/formats/innodb-layers.md says
	Chunks   []Chunk   `json:"chunks,omitempty"`
}

// Chunk is one run of a file's bytes inside the plain stream.
type Chunk struct {
	File  int64 `json:"f"` // offset in the file
	Len   int64 `json:"n"`
	Plain int64 `json:"p"` // offset in the plain stream
}

// Result is what a good backup leaves.
type Result struct {
	Position coffer.Position // with the nonce in Lineage
	Method   string          // "mariabackup"
	Tool     string          // the tool's version line
	Holds    Holds
	Warnings []string
	Summary  []byte // what an increment onto this one needs to know of the chain
}

// Holds are the three ways in which the backup held others, measured.
type Holds struct {
	DDL      time.Duration `json:"ddl"`      // other DDL waited
	NonTrans time.Duration `json:"nontrans"` // writers of non-transactional tables waited
	Commit   time.Duration `json:"commit"`   // every commit waited
}

// Way is how a chain is restored.
type Way = coffer.Way

// The ways.
const (
	Merged   = coffer.Merged
	Stepwise = coffer.Stepwise
)

// Target is an empty folder that a restore fills.
type Target struct {
	Dir      string // exists, empty
	UID, GID int    // owner of everything in the end; ignored unless root
	Memory   int64  // bytes for prepare; 0 is 256 MiB
	Progress func(Progress)
	// Way is how a chain is restored; "" is merged where every link allows it, else
	// step by step. A way that is asked for and not safe is KindUnsupported, and so
	// is a chain for which neither is.
	Way Way
	// Event, if set, is told which way was taken and why.
	Event func(coffer.Event)
	// Databases are all that is restored; none is everything. KindUnsupported where
	// the backup is of files and not of databases.
	Databases []string
	// Sealed, if set, is told when everything is in its place and durable, just
	// before the folder loses the mark of an unfinished restore; its error fails
	// the restore. No file of the restore was changed after that time, which is of
	// the clock of the folder's filesystem.
	Sealed func(at time.Time) error
}

// Rebuilder is a layer whose index, where it cannot be used, can be made anew.
type Rebuilder interface {
	// Rebuild reads the whole stream into plain, with all that Stream checks. Then
	// Range works; Entries still does not: the file table is for the engine to make.
	Rebuild(ctx context.Context, plain io.Writer) error
}

// Layer is one backup of a chain as a restore reads it.
type Layer interface {
	Backup() coffer.BackupID
	Position() coffer.Position
	PlainBytes() int64
	// Stream reads the whole plain stream, every sum checked. io.EOF is only
	// given after the end was verified.
	Stream(ctx context.Context) (io.ReadCloser, error)
	// Range reads n plain bytes from off, sums checked, without what lies
	// before. KindUnsupported without an index.
	Range(ctx context.Context, off, n int64) (io.ReadCloser, error)
	// Entries yields the index's file table; KindUnsupported without an index.
	Entries(ctx context.Context) iter.Seq2[Entry, error]
}
