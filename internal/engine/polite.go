package engine

import (
	"cmp"

	"github.com/cofferdb/coffer"
)

// MinBandwidth is the smallest limit: with less, the redo log of any server in use
// would overtake the backup.
const MinBandwidth = 256 << 10

const (
	maxParallel = 64
	maxThrottle = 1 << 20
)

// For is r for one instance: what the instance asks for wins.
func (r Runner) For(p coffer.Polite) Runner {
	q := r.Polite
	r.Polite = coffer.Polite{
		Bandwidth: cmp.Or(p.Bandwidth, q.Bandwidth), Nice: cmp.Or(p.Nice, q.Nice), IONice: cmp.Or(p.IONice, q.IONice),
		Parallel: cmp.Or(p.Parallel, q.Parallel), Throttle: cmp.Or(p.Throttle, q.Throttle),
	}
	return r
}

// checkPolite says what is wrong with how a backup would hold back.
func checkPolite(p coffer.Polite) error {
	const op = "check how backups hold back"
	switch {
	case p.Bandwidth != 0 && p.Bandwidth < MinBandwidth:
		return coffer.E(coffer.KindInvalid, op, "bandwidth is %d bytes a second", p.Bandwidth).
			WithHint("it is at least %d KiB, or 0 for no limit: slower, the server's redo log overtakes the backup", MinBandwidth>>10)
	case p.Nice < 0 || p.Nice > 19:
		return coffer.E(coffer.KindInvalid, op, "nice is %d, and not within 0 and 19", p.Nice)
	case p.IONice != "" && p.IONice != "idle" && p.IONice != "best-effort":
		return coffer.E(coffer.KindInvalid, op, "ionice is %.20q", p.IONice).WithHint(`it is "idle" or "best-effort"`)
	case p.Parallel < 0 || p.Parallel > maxParallel:
		return coffer.E(coffer.KindInvalid, op, "parallel is %d, and not within 1 and %d", p.Parallel, maxParallel)
	case p.Throttle < 0 || p.Throttle > maxThrottle:
		return coffer.E(coffer.KindInvalid, op, "throttle is %d, and not within 1 and %d", p.Throttle, maxThrottle)
	}
	return nil
}
