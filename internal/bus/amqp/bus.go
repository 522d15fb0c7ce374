package amqp

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// CallTimeout bounds a Call whose context has no deadline of its own.
const CallTimeout = 60 * time.Second

// Bus speaks to one broker or cluster. Make one with New or Dial; Close ends it.
type Bus struct {
	o     Options
	quiet *quiet
	reply string // the name of this process's reply queue

	ctx  context.Context // the bus's life: ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	main  *link // publishes, takes replies, and serves
	mu    sync.Mutex
	links []*link // main, and more for further Serves
}

var _ bus.Bus = (*Bus)(nil)

// New makes a bus and lets it connect in the background, again and again until
// Close.
func New(o Options) (*Bus, error) {
	if len(o.Hosts) == 0 || o.User == "" {
		return nil, coffer.E(coffer.KindInvalid, "make a bus", "the broker's host or account is missing")
	}
	if o.Keys == nil && o.SelfID != "" {
		return nil, coffer.E(coffer.KindInvalid, "make a bus", "an instance's id without keys")
	}
	b := &Bus{o: o.withDefaults()}
	b.reply = b.o.ReplyPrefix + coffer.NewNonce()
	b.quiet = &quiet{log: b.o.Log, seen: map[string]hush{}}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.main = b.addLink()
	return b, nil
}

// Dial is New that waits for the first try to connect, and fails if that does.
func Dial(ctx context.Context, o Options) (*Bus, error) {
	b, err := New(o)
	if err != nil {
		return nil, err
	}
	if _, err := b.main.outcome(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Close ends every connection and what is under way on it.
func (b *Bus) Close() error {
	b.stop()
	b.wg.Wait()
	return nil
}

// Cast implements bus.Bus. It returns when the broker has the message in a queue.
func (b *Bus) Cast(ctx context.Context, to bus.Target, method string, body any) error {
	op := "cast " + method + " to " + to.Topic
	if err := ctx.Err(); err != nil {
		return coffer.Wrap(op, err)
	}
	r, err := b.request(ctx, to, method, body)
	if err != nil {
		return err
	}
	if _, err := b.seal(ctx, to.Topic, r); err != nil {
		return coffer.Wrap(op, err)
	}
	s, err := b.main.now(ctx)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	return coffer.Wrap(op, b.send(ctx, s, to, r, b.o.CastExpires))
}

// request makes the inner message in clear, signed where that is asked.
func (b *Bus) request(ctx context.Context, to bus.Target, method string, body any) (*request, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, "write the message "+method, "%w", err)
	}
	var stamp Stamp
	if b.o.Stamp != nil {
		stamp = b.o.Stamp(ctx, to, method, raw)
	}
	r := &request{Method: method, Args: argsOf(raw), Version: stamp.Version, UniqueID: coffer.NewNonce()}
	if r.Version == "" {
		r.Version = "1.0"
	}
	if r.Context, err = contextOf(stamp.Context); err != nil {
		return nil, coffer.E(coffer.KindInvalid, "write the context of "+method, "%w", err)
	}
	if err := b.sign(to, r); err != nil {
		return nil, coffer.Wrap("sign "+method, err)
	}
	return r, nil
}

// send publishes a request for a target.
func (b *Bus) send(ctx context.Context, s *session, to bus.Target, r *request, expires time.Duration) error {
	body, err := r.encode()
	if err != nil {
		return coffer.E(coffer.KindInvalid, "write the message "+r.Method, "%w", err)
	}
	key := to.Topic
	if to.Server != "" {
		key += "." + to.Server
	}
	return s.publish(ctx, letter{exchange: b.o.Exchange, key: key, id: r.UniqueID, body: body, expires: expires})
}

// Pending implements bus.Bus; while the broker cannot be reached it is unknown.
func (b *Bus) Pending(at bus.Target) int {
	ctx, stop := context.WithTimeout(b.ctx, 2*time.Second)
	defer stop()
	s, err := b.main.now(ctx)
	if err != nil {
		return -1
	}
	name := at.Topic
	if at.Server != "" {
		name += "." + at.Server
	}
	return s.waiting(name)
}

// accepts says whether a server of version have may handle a request of version want.
func accepts(have, want string) bool {
	hm, hn, ok1 := version(have)
	wm, wn, ok2 := version(want)
	return ok1 && ok2 && hm == wm && wn <= hn
}

func version(s string) (major, minor int, ok bool) {
	a, b, _ := strings.Cut(s, ".")
	major, err1 := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(b)
	return major, minor, err1 == nil && (err2 == nil || b == "")
}
