package rest

// Table is one table of a backup, in bytes.
type Table struct {
	Database   string `json:"database"`
	Name       string `json:"name"`
	Engine     string `json:"engine,omitempty"`     // by its files; absent: it has none of its own, as a view
	Partitions int    `json:"partitions,omitempty"` // absent: it is not partitioned
	Size       int64  `json:"size_bytes"`           // of its files once restored
	Plain      int64  `json:"plain_bytes"`          // of the chain's streams that it is made from
	Stored     int64  `json:"stored_bytes"`         // of what is stored that these lie in
}

// Tables is one page, by database and name. The bytes are what is read in addition
// with any one of the tables. Next is the marker of the following page; absent on
// the last one.
type Tables struct {
	Tables      []Table `json:"tables"`
	PlainBytes  int64   `json:"plain_bytes"`
	StoredBytes int64   `json:"stored_bytes"`
	Next        string  `json:"next,omitempty"`
}
