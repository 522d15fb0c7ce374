package storetest

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Op names a call of a store.
type Op string

// The calls. AnyOp in a Fault stands for all of them.
const (
	AnyOp    Op = ""
	Put      Op = "Put"
	Open     Op = "Open"
	Stat     Op = "Stat"
	List     Op = "List"
	Delete   Op = "Delete"
	Begin    Op = "Begin"
	Part     Op = "Part"
	Complete Op = "Complete"
	Abort    Op = "Abort"
	Stale    Op = "Stale"
)

// Fault says which calls to spoil and how. The calls that match Op and Name are
// counted from 1; the fault hits the N-th and, with Times, the ones after it.
// What is set below happens in that order, to the same call; where two faults
// would hit one call, the one planned first does.
type Fault struct {
	Op    Op     // AnyOp matches every call
	Name  string // only calls whose name or prefix contains this; "" is all
	N     int    // the first call hit; 0 is 1
	Times int    // how many calls in a row; 0 is 1, < 0 is all from N on

	Do    func(context.Context) // runs first, in the caller's goroutine: a place to kill, cancel or look
	Stall <-chan struct{}       // then the call waits until this is closed or its context ends
	Kind  coffer.Kind           // then it fails so; "" lets it go on
	After bool                  // with Kind: the effect happens first, its answer is lost

	LieSum  bool  // Put, Complete, Stat, List, Part answer a wrong sum and ETag
	LieSize int64 // Put, Complete, Stat, List answer a size wrong by this
	Cut     bool  // Open: the bytes end early, as if the object did, after CutAt
	CutAt   int64 // bytes
	Drop    bool  // with Cut: the reading fails with KindUnavailable there instead
	Flip    bool  // Open: the lowest bit of the byte at FlipAt of what is read is flipped
	FlipAt  int64 // bytes from the start of the range
}

// Faulty is a store that spoils the calls that its faults name and passes all
// others on. The zero value with a Full spoils nothing.
type Faulty struct {
	store.Full
	Space int64 // bytes that Put and Part take in all before KindNoSpace; 0 is no limit

	mu    sync.Mutex
	plan  []*planned
	calls map[Op]int
	used  int64
	stall <-chan struct{}
}

type planned struct {
	Fault
	seen, hits int
}

var (
	_ store.Full    = (*Faulty)(nil)
	_ store.Bounded = (*Faulty)(nil)
)

// MaxParts passes the question on, unspoiled.
func (f *Faulty) MaxParts(ctx context.Context) (int, error) { return store.MaxParts(ctx, f.Full) }

// Plan adds faults.
func (f *Faulty) Plan(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range faults {
		f.plan = append(f.plan, &planned{Fault: one})
	}
}

// Stall makes every call from now on wait until ch is closed or the call's
// context ends. A nil ch ends the stalling of later calls.
func (f *Faulty) Stall(ch <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stall = ch
}

// Calls is how often op was called, spoiled or not; AnyOp is the sum.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// VerifyAllHit is red for each fault that no call has met: a test whose fault
// did not happen proves nothing.
func (f *Faulty) VerifyAllHit(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range f.plan {
		if p.hits == 0 {
			t.Errorf("fault %d (%s %q, call %d) was not hit: %d calls matched", i, p.Op, p.Name, max(p.N, 1), p.seen)
		}
	}
}

// meet counts one call, for every fault that it matches, and returns the first
// one that hits it.
func (f *Faulty) meet(op Op, name string) (hit Fault, stall <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[Op]int{}
	}
	f.calls[op]++
	f.calls[AnyOp]++
	found := false
	for _, p := range f.plan {
		if p.Op != AnyOp && p.Op != op || !strings.Contains(name, p.Name) {
			continue
		}
		p.seen++
		first := max(p.N, 1)
		if p.seen < first || p.Times >= 0 && p.seen >= first+max(p.Times, 1) || found {
			continue
		}
		p.hits++
		hit, found = p.Fault, true
	}
	return hit, f.stall
}

// before is what a fault does ahead of the call; an error stands for its answer.
func (f *Faulty) before(ctx context.Context, op Op, name string) (Fault, error) {
	hit, all := f.meet(op, name)
	if hit.Do != nil {
		hit.Do(ctx)
	}
	for _, ch := range []<-chan struct{}{all, hit.Stall} {
		if ch == nil {
			continue
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return hit, coffer.Wrap(step(op, name), ctx.Err())
		}
	}
	if err := ctx.Err(); err != nil {
		return hit, coffer.Wrap(step(op, name), err)
	}
	if hit.Kind != "" && !hit.After {
		return hit, hit.err(op, name)
	}
	return hit, nil
}

// after replaces the answer err of a call by the lost one.
func (h Fault) after(op Op, name string, err error) error {
	if err == nil && h.Kind != "" && h.After {
		return h.err(op, name)
	}
	return err
}

func (h Fault) err(op Op, name string) error {
	when := "before"
	if h.After {
		when = "after"
	}
	return coffer.E(h.Kind, step(op, name), "made to fail %s its effect", when)
}

func step(op Op, name string) string { return fmt.Sprintf("%s %s", op, name) }

// object spoils what is said of one.
func (h Fault) object(o store.Object) store.Object {
	o.Size += h.LieSize
	if h.LieSum {
		o.ETag = "0000000000000000"
		if o.SHA256 != "" {
			o.SHA256 = wrongSum
		}
	}
	return o
}

// wrongSum is the SHA-256 of nothing that a test writes.
const wrongSum = "00000000000000000000000000000000000000000000000000000000000000ff"

// room takes n bytes of the space that is left.
func (f *Faulty) room(op Op, name string, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Space > 0 && f.used+n > f.Space {
		return coffer.E(coffer.KindNoSpace, step(op, name), "made to be full after %d bytes", f.Space).
			WithHint("free space in the store")
	}
	f.used += n
	return nil
}

// spoiled is a reader that cuts and flips.
type spoiled struct {
	io.ReadCloser
	hit Fault
	at  int64
}

func (s *spoiled) Read(p []byte) (int, error) {
	if s.hit.Cut {
		left := s.hit.CutAt - s.at
		if left <= 0 {
			if s.hit.Drop {
				return 0, coffer.E(coffer.KindUnavailable, "read", "made to lose the connection")
			}
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), left)]
	}
	n, err := s.ReadCloser.Read(p)
	if i := s.hit.FlipAt - s.at; s.hit.Flip && i >= 0 && i < int64(n) {
		p[i] ^= 1
	}
	s.at += int64(n)
	return n, err
}
