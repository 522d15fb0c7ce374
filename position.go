package coffer

import "encoding/json"

// Position says where in a database's life a backup stands. It is what an
// increment needs of its parent. The LSNs are InnoDB log sequence numbers in
// bytes; fields of engines that lack them stay zero. Unknown fields are ignored,
// so that a newer writer can add some.
type Position struct {
	Lineage  Lineage `json:"lineage"`
	ServerID string  `json:"server_id,omitempty"` // @@server_id and @@server_uid, joined by "/"

	From      uint64 `json:"from_lsn"`             // where this backup's pages start; 0 is a full
	To        uint64 `json:"to_lsn"`               // the checkpoint at the end of the backup
	RedoStart uint64 `json:"redo_start,omitempty"` // first LSN of the copied redo; 0 is unknown: not mergeable
	Last      uint64 `json:"last_lsn"`             // last LSN of the copied redo

	GTID          string `json:"gtid,omitempty"` // @@gtid_binlog_pos at the backup's position
	BinlogFile    string `json:"binlog_file,omitempty"`
	BinlogOffset  uint64 `json:"binlog_offset,omitempty"`
	DataFilePath  string `json:"innodb_data_file_path,omitempty"`
	PageSize      int    `json:"page_size,omitempty"` // bytes
	UndoSpaces    int    `json:"undo_tablespaces,omitempty"`
	ServerVersion string `json:"server_version,omitempty"`
	PageLists     bool   `json:"page_lists,omitempty"` // the index lists the pages of every tablespace: the chain can be merged
	// MergeOnly says why the stock tool would lose a table when it applies this
	// increment, so that only a merge restores it; "" is that it would not.
	MergeOnly string `json:"merge_only,omitempty"`
	// LowerCase is @@lower_case_table_names: a server that is started on the restored
	// data finds its tables only with the same.
	LowerCase int `json:"lower_case_table_names,omitempty"`
	// Source is set where the server was a replica.
	Source Source `json:"source,omitzero"`
}

// Source is where a replica stood in the history of the server that it follows, at
// the backup's position. A backup that holds nobody knows GTIDs only, one that
// stops commits for a moment knows what the replica itself goes by.
type Source struct {
	Name   string `json:"name,omitempty"` // of the connection, where it has one
	Host   string `json:"host,omitempty"`
	Port   int    `json:"port,omitempty"`
	GTID   string `json:"gtid,omitempty"` // of all connections
	File   string `json:"file,omitempty"` // of the source's binary log
	Offset uint64 `json:"offset,omitempty"`
	More   int    `json:"more,omitempty"` // further connections of the replica
}

// Zero reports whether the server was no replica.
func (s Source) Zero() bool { return s == Source{} }

// Lineage tells one unbroken life of a data folder from another: the nonce that
// this backup left in the folder's id file, and the first LSN in the server's
// own redo log header. See docs/formats/archive-v1.md.
type Lineage struct {
	Nonce    string `json:"nonce,omitempty"`
	FirstLSN uint64 `json:"first_lsn,omitempty"`
}

// Zero reports whether p is no position at all: what a full backup starts from.
func (p Position) Zero() bool { return p == Position{} }

// Start is the LSN at which an increment onto p begins: the redo start where it
// is known (then the chain can be merged page by page), else the end checkpoint.
func (p Position) Start() (lsn uint64, mergeable bool) {
	if p.RedoStart != 0 {
		return p.RedoStart, true
	}
	return p.To, false
}

// String is the position as JSON.
func (p Position) String() string {
	b, _ := json.Marshal(p)
	return string(b)
}
