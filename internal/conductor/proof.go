package conductor

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/message"
)

// Senders says which agent an account of the bus belongs to, and whether that agent
// may run restored servers; ok is false for an account that is no agent's.
type Senders func(account string) (agent coffer.AgentID, host, ok bool)

// prove makes sure that a message which speaks for an agent comes from that agent's
// account. Without Senders the bus is one of this machine, behind a socket of 0600,
// and host is true: whoever reaches it may do all.
func (c *Conductor) prove(ctx context.Context, agent coffer.AgentID) (host bool, err error) {
	if c.Senders == nil {
		return true, nil
	}
	from := bus.Sender(ctx)
	is, host, ok := c.Senders(from)
	switch {
	case from == "":
		err = c.refuse(from, "unproven", "the bus does not say who sent it")
	case !ok:
		err = c.refuse(from, "no agent", "%s is no agent's account", clip(from, 128))
	case is != agent:
		err = c.refuse(from, "another agent", "%s speaks for agent %s", clip(from, 128), clip(string(agent), 128))
	}
	return host && err == nil, err
}

// refuse counts a message that its sender had no right to send, and logs the first of
// a kind.
func (c *Conductor) refuse(from, reason, format string, args ...any) error {
	err := coffer.E(coffer.KindForbidden, "take an agent's message", format, args...)
	if c.refused.first(from, reason) {
		c.Log.Warn("refused an agent's message; more of the kind are counted, not logged", "account", clip(from, 128), "reason", reason, "err", err)
	}
	return err
}

// Refused is how many messages were refused since the start because their sender had
// no right to send them.
func (c *Conductor) Refused() uint64 { return c.refused.count() }

// refusals remembers who was refused for what, so that a hostile sender cannot fill
// the log.
type refusals struct {
	mu    sync.Mutex
	n     uint64
	seen  map[string]struct{}
	since time.Time
}

// The log gets one line an hour of each account and reason, and so many at most.
const (
	refusalsEvery = time.Hour
	maxRefusals   = 1000
)

// first reports whether this refusal is to be logged.
func (r *refusals) first(from, reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	if r.seen == nil || time.Since(r.since) > refusalsEvery {
		r.seen, r.since = map[string]struct{}{}, time.Now()
	}
	key := clip(from, 128) + "\x00" + reason
	if _, known := r.seen[key]; known || len(r.seen) >= maxRefusals {
		return false
	}
	r.seen[key] = struct{}{}
	return true
}

func (r *refusals) count() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// serve hands a message to its handler. What cannot be read, and what is refused, is
// counted and logged here, once: the sender of a report listens to no answer, and a
// bus would log each of them.
func (c *Conductor) serve(mux bus.Mux) bus.Handler {
	return func(ctx context.Context, m bus.Message) (any, error) {
		out, err := mux.Serve(ctx, m)
		if coffer.IsKind(err, coffer.KindInvalid, coffer.KindUnsupported) && c.refused.first(m.From, "unreadable") {
			c.Log.Warn("cannot read a message", "account", clip(m.From, 128), "method", clip(m.Method, 64), "err", clip(err.Error(), 512))
		}
		if m.Method == message.Report.Name && coffer.IsKind(err, coffer.KindInvalid, coffer.KindForbidden) {
			return nil, nil
		}
		return out, err
	}
}

// clip makes s fit for a row: valid UTF-8 without NUL, of at most n bytes.
func clip(s string, n int) string {
	s = strings.ReplaceAll(s[:min(len(s), n)], "\x00", "")
	return strings.ToValidUTF8(s, "")
}

// word reports whether s can name something: 1 to 128 printable characters of ASCII
// without blanks.
func word(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// sane bounds what a runner says of its progress.
func sane(p coffer.Progress) coffer.Progress {
	const most = 1 << 60 // more bytes than any database has
	for _, n := range []*int64{&p.Done, &p.Total, &p.Stored, &p.Started} {
		*n = max(0, min(*n, most))
	}
	if math.IsNaN(p.Rate) || p.Rate < 0 || p.Rate > most {
		p.Rate = 0
	}
	p.Detail = clip(p.Detail, maxText)
	return p
}
