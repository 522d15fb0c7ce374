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

// MinBandwidth is the smallest limit: with less, the redo log of any server in use
// would overtake the backup.
const MinBandwidth = 256 << 10

const (
	maxParallel = 64
	maxThrottle = 1 << 20
)

// Check says what is wrong with p.
func (p Polite) Check() error {
	const op = "check how backups hold back"
	switch {
	case p.Bandwidth != 0 && p.Bandwidth < MinBandwidth:
		return E(KindInvalid, op, "bandwidth is %d bytes a second", p.Bandwidth).
			WithHint("it is at least %d KiB, or 0 for no limit: slower, the server's redo log overtakes the backup", MinBandwidth>>10)
	case p.Nice < 0 || p.Nice > 19:
		return E(KindInvalid, op, "nice is %d, and not within 0 and 19", p.Nice)
	case p.IONice != "" && p.IONice != "idle" && p.IONice != "best-effort":
		return E(KindInvalid, op, "ionice is %.20q", p.IONice).WithHint(`it is "idle" or "best-effort"`)
	case p.Parallel < 0 || p.Parallel > maxParallel:
		return E(KindInvalid, op, "parallel is %d, and not within 1 and %d", p.Parallel, maxParallel)
	case p.Throttle < 0 || p.Throttle > maxThrottle:
		return E(KindInvalid, op, "throttle is %d, and not within 1 and %d", p.Throttle, maxThrottle)
	}
	return nil
}
