package coffer

// Polite is how one instance's backups hold back for the sake of its database. What
// is zero here is as the agent's configuration says.
type Polite struct {
	Bandwidth int64  `json:"bandwidth,omitempty"` // bytes a second that the tool gets rid of while it holds nobody
	Nice      int    `json:"nice,omitempty"`      // CPU priority, 1 to 19
	IONice    string `json:"ionice,omitempty"`    // "best-effort" or "idle"
	Parallel  int    `json:"parallel,omitempty"`  // files that the tool copies at once
	Throttle  int    `json:"throttle,omitempty"`  // pairs of reads and writes a second, of the tool itself
}
