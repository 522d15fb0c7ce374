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
}

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
