package model

import (
	"math/rand/v2"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// Where a life may be met. Each of the store's, the bus's and the records' has a
// twin, "… done", after its effect.
var (
	agentGates = []string{
		"claimed", "probed", "intent", "tool", "tool ended", "parts stored", "commit journaled", "commit answered",
		"manifest", "abort",
	}
	agentCalls = []string{
		"put intent", "begin data", "part data", "complete data", "put manifest", "stat manifest", "delete data", "abort data",
		"put index", "call claim", "call commit", "call done", "call report",
	}
	serverGates = []string{"looked", "dying", "tombstone", "buried"}
	serverCalls = []string{
		"Claim", "Grant", "Complete", "Fail", "Finish", "Doom", "FailDoomed", "MarkLost", "Deleted", "DeleteFailed", "SetVerdict",
		"Report", "Swept", "put dead", "put statement", "delete manifest", "stat manifest", "delete index", "delete data",
		"delete intent", "delete dead", "stat dead",
	}
)

func gate(rng *rand.Rand, gates, calls []string) string {
	n := rng.IntN(len(gates) + 2*len(calls))
	switch {
	case n < len(gates):
		return gates[n]
	case n < len(gates)+len(calls):
		return calls[n-len(gates)]
	}
	return calls[n-len(gates)-len(calls)] + " done"
}

// history is one random life of a Coffer.
type history struct {
	*world
	rng   *rand.Rand
	known map[coffer.BackupID]string // COMPLETED when older records were put back
	stale map[coffer.BackupID]bool   // deleted since the older records were kept
}

// play makes a history of a seed, lets it become quiet, and checks it twice: as it
// is, and after every runner is proven replaced.
func (h *history) play(steps int) {
	h.full(0) // so that all records know of the container, older ones too
	switch h.rng.IntN(5) {
	case 0:
		h.more = []*process{h.newServer("second")}
	case 1:
		h.more = []*process{h.newServer("second"), h.newControl("third", false)}
	}
	h.tell("%d task managers, at most %d jobs", len(h.controls()), h.caps.Fleet)
	for range steps {
		h.step()
		time.Sleep(time.Duration(h.rng.IntN(7000)) * time.Millisecond)
		h.revive(false)
	}
	h.calm()
	h.check(h.known, h.stale)
	if h.t.Failed() {
		return
	}
	h.replaceAll()
	h.check(h.known, h.stale)
	h.nothingLeft()
}

// step does one thing.
func (h *history) step() {
	i := h.rng.IntN(guests)
	switch n := h.rng.IntN(100); {
	case n < 30:
		h.addRows(i, h.rng.IntN(3))
		id, err := h.backup(i, h.rng.IntN(3) > 0)
		h.tell("backup of %d: %s %v", i, id, err)
	case n < 38:
		h.some(coffer.JobVerify)
	case n < 46:
		h.some(coffer.JobDelete)
	case n < 52:
		h.cancelOne()
	case n < 72:
		h.arm(i)
	case n < 77:
		h.strike(i)
	case n < 86:
		h.spoil()
	case n < 90:
		d := time.Duration(h.rng.IntN(90)) * time.Second
		h.wx.away(d)
		h.tell("the broker is away for %s", d)
	case n < 92:
		h.jump()
	case n < 94:
		r := func() float64 { return h.rng.Float64() * 0.3 }
		h.wx.set(r(), r(), r(), time.Duration(h.rng.IntN(3000))*time.Millisecond)
		h.tell("bad weather")
	case n < 96:
		h.wx.set(0, 0, 0, 0)
	case n < 98 && h.snap == "":
		h.tell("the records are kept")
		h.snapshot()
	case n >= 98 && h.snap != "":
		h.rewind()
	}
}

// some does a job on some backup.
func (h *history) some(kind coffer.JobKind) {
	all := h.rows()
	if len(all) == 0 {
		return
	}
	b := all[h.rng.IntN(len(all))]
	force := h.rng.IntN(2) == 0
	id, err := h.job(kind, b.ID, force)
	h.tell("%s of %s (%s, force %v): %s %v", kind, b.ID, b.State, force, id, err)
}

func (h *history) cancelOne() {
	for _, j := range h.jobs() {
		if j.State.Running() {
			h.tell("cancel %s of %s (%s): %v", j.Kind, j.Backup, j.State, h.cancel(j.ID))
			return
		}
	}
}

func (h *history) arm(i int) {
	f := fate(h.rng.IntN(2))
	p, at := h.agents[i], gate(h.rng, agentGates, agentCalls)
	if h.rng.IntN(3) == 0 {
		p, at = h.aControl(), gate(h.rng, serverGates, serverCalls)
	}
	h.tell("%s is to meet its fate (%d) at %q", p.name, f, at)
	p.l.arm(at, f)
}

func (h *history) aControl() *process {
	all := h.controls()
	return all[h.rng.IntN(len(all))]
}

// jump sets somebody's clock an hour off, or right again.
func (h *history) jump() {
	names := []string{"api"}
	for _, p := range append(h.agents[:], h.controls()...) {
		names = append(names, p.name)
	}
	name, off := names[h.rng.IntN(len(names))], time.Duration(h.rng.IntN(3)-1)*time.Hour
	h.tell("the clock of %s is off by %s", name, off)
	h.clockOf(name).jump(off)
}

// strike kills, stops or ends a process wherever it is.
func (h *history) strike(i int) {
	p := h.agents[i]
	if h.rng.IntN(3) == 0 {
		p = h.aControl()
	}
	switch h.rng.IntN(3) {
	case 0:
		h.tell("kill %s", p.name)
		p.l.kill()
	case 1:
		h.tell("stop %s", p.name)
		p.l.stop()
	case 2:
		if p.l.isStopped() || p.l.isDead() {
			return
		}
		h.tell("end %s", p.name)
		p.finish()
		p.l.kill() // revive starts the next life
	}
}

// spoil plans a few faults of the store, or keeps it away for a while.
func (h *history) spoil() {
	if h.rng.IntN(4) == 0 {
		ch := make(chan struct{})
		d := time.Duration(h.rng.IntN(50)) * time.Second
		h.tell("the store stalls for %s", d)
		f := h.faulty
		f.Stall(ch)
		time.AfterFunc(d, func() { f.Stall(nil); close(ch) })
		return
	}
	ops := []storetest.Op{storetest.AnyOp, storetest.Put, storetest.Open, storetest.Stat, storetest.List, storetest.Delete, storetest.Part, storetest.Complete}
	kinds := []coffer.Kind{coffer.KindUnavailable, coffer.KindUnavailable, coffer.KindUnknown, coffer.KindNoSpace, coffer.KindForbidden}
	f := storetest.Fault{
		Op: ops[h.rng.IntN(len(ops))], N: 1 + h.rng.IntN(30), Times: 1 + h.rng.IntN(3),
		Kind: kinds[h.rng.IntN(len(kinds))], After: h.rng.IntN(2) == 0,
	}
	if f.Kind == coffer.KindNoSpace || f.Kind == coffer.KindForbidden {
		f.After = false // a clear no is true
	}
	h.tell("the store will spoil: %s from %d, %d times, %s after %v", f.Op, f.N, f.Times, f.Kind, f.After)
	h.faulty.Plan(f)
}

// rewind puts the older records back.
func (h *history) rewind() {
	h.tell("the older records are put back")
	was := map[coffer.BackupID]bool{}
	for _, b := range h.rows() {
		if b.State == coffer.Completed && !b.Deleting {
			h.known[b.ID] = b.Manifest
			was[b.ID] = true
		}
	}
	h.putBack()
	for _, b := range h.rows() {
		if b.State == coffer.Completed && !was[b.ID] {
			h.stale[b.ID] = true
		}
	}
}

// revive starts killed processes anew and, for good or with some chance, wakes
// stopped ones.
func (h *history) revive(all bool) {
	for i, p := range h.agents {
		if p.l.isDead() && (all || h.rng.IntN(4) == 0) {
			h.tell("%s starts anew", p.name)
			h.startAgent(i)
		}
	}
	for i, p := range h.controls() {
		if p.l.isDead() && (all || h.rng.IntN(2) == 0) {
			h.tell("%s starts anew", p.name)
			h.startControl(i)
		}
	}
	for _, p := range append(h.agents[:], h.controls()...) {
		if p.l.isStopped() && (all || h.rng.IntN(6) == 0) {
			h.tell("%s wakes", p.name)
			p.l.wake()
		}
	}
}

// calm ends all trouble and waits until every job has ended and the sweep has
// been round.
func (h *history) calm() {
	h.tell("calm")
	h.wx.set(0, 0, 0, 0)
	h.disarm()
	h.revive(true)
	h.within(15*time.Minute, "every job ends", func() bool {
		for _, j := range h.jobs() {
			if j.State.Running() {
				return false
			}
		}
		return true
	})
	time.Sleep(3*h.timings.Grace + 3*h.timings.Sweep)
}

func (h *history) disarm() {
	for _, p := range h.all {
		p.l.mu.Lock()
		clear(p.l.armed)
		p.l.mu.Unlock()
	}
	h.faulty = &storetest.Faulty{Full: h.mem}
	h.setStore(h.faulty)
}

// replaceAll ends every agent and starts it again: what the old ones began is
// proven to be over.
func (h *history) replaceAll() {
	h.tell("every agent is replaced")
	for i, p := range h.agents {
		p.finish()
		p.l.kill()
		h.startAgent(i)
	}
	time.Sleep(3*h.timings.Grace + 3*h.timings.Sweep)
}

// nothingLeft: the databases are free, what is good can be deleted, and then
// nothing is left.
func (h *history) nothingLeft() {
	for i := range guests {
		h.full(i)
	}
	h.tell("everything is deleted")
	for range 3 {
		for _, b := range h.rows() {
			if _, err := h.job(coffer.JobDelete, b.ID, true); err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
				h.t.Errorf("delete of %s: %v", b.ID, err)
			}
		}
		h.within(5*time.Minute, "every delete ends", func() bool {
			for _, j := range h.jobs() {
				if j.State.Running() {
					return false
				}
			}
			return true
		})
	}
	if left := h.rows(); len(left) > 0 {
		h.t.Errorf("%d rows are left", len(left))
	}
	for _, name := range h.objects() {
		if h.snap != "" && role(name) == "dead" {
			continue // of a backup whose row, deleted since, older records do not know
		}
		rel := name[len(h.place().Prefix):]
		if _, lost := h.known[coffer.BackupID(rel[:min(36, len(rel))])]; !lost {
			h.t.Errorf("object %s is left", name)
		}
	}
}
