package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// disturber does harm to a fleet, one thing after another. What it does and to whom
// follows from the seed alone; a victim that is busy with an earlier harm is spared.
type disturber struct {
	f    *fleet
	dice *rand.Rand
	wg   sync.WaitGroup
	mq   sync.Mutex // one thing at a time to the broker

	began  time.Time
	counts map[string]int
}

// harms are what can be done, each with how often of a hundred it is.
var harms = []struct {
	name   string
	weight int
}{
	{"kill", 32}, {"stop", 16}, {"cut", 15}, {"pause", 8}, {"drop", 8}, {"clock", 13}, {"restart broker", 2}, {"kill broker", 3}, {"cut records", 3},
}

// run disturbs until ctx ends, and then until every harm is over.
func (d *disturber) run(ctx context.Context) {
	d.began, d.counts = time.Now(), map[string]int{}
	for {
		select {
		case <-ctx.Done():
			d.wg.Wait()
			return
		case <-time.After(d.between(100*time.Millisecond, 900*time.Millisecond)):
			d.once()
		}
	}
}

func (d *disturber) between(a, b time.Duration) time.Duration {
	return a + time.Duration(d.dice.Int64N(int64(b-a)))
}

// once draws a harm with all that it needs, so that the list depends on the seed
// alone, and does it.
func (d *disturber) once() {
	n, name := d.dice.IntN(100), ""
	for _, h := range harms {
		if n -= h.weight; n < 0 {
			name = h.name
			break
		}
	}
	r := d.f.roles[d.dice.IntN(len(d.f.roles))]
	short := d.between(200*time.Millisecond, 3*time.Second)
	long := d.between(9*time.Second, 14*time.Second) // beyond a lease
	sign := time.Duration(1 - 2*d.dice.IntN(2))
	spell := 2 * short
	if r.state != "" {
		spell = short // a runner that is cut off alone for a lease is lost, and rightly
	}
	var did bool
	switch name {
	case "kill":
		did = d.to(&r.one, func() { r.kill(short) })
	case "stop":
		did = d.to(&r.one, func() { r.suspend(long) })
	case "cut":
		did = d.to(&r.wires, r.net.Cut)
	case "pause":
		did = d.to(&r.wires, func() { r.net.Pause(); <-time.After(spell); r.net.Resume() })
	case "drop":
		did = d.to(&r.wires, func() { r.net.Drop(); <-time.After(spell); r.net.Resume() })
	case "clock":
		did = d.to(&r.one, func() { r.jump(sign * time.Hour) })
	case "restart broker":
		did = d.to(&d.mq, func() { d.broker(d.f.broker.Stop, short) })
	case "kill broker":
		did = d.to(&d.mq, func() { d.broker(d.f.broker.Kill, short) })
	case "cut records":
		did = d.to(&d.mq, d.f.records.Cut)
	}
	what := fmt.Sprintf("%7.2fs %-14s %-12s %v %v %v", time.Since(d.began).Seconds(), name, r.name, short.Round(time.Millisecond), long.Round(time.Millisecond), sign)
	if !did {
		what += " (spared)"
	} else {
		d.counts[name]++
	}
	d.f.t.Log(what)
}

// to does a harm beside the others, unless its victim is taken.
func (d *disturber) to(one *sync.Mutex, harm func()) bool {
	if !one.TryLock() {
		return false
	}
	d.wg.Go(func() {
		defer one.Unlock()
		harm()
	})
	return true
}

func (d *disturber) broker(end func(), away time.Duration) {
	end()
	<-time.After(away)
	err := d.f.broker.Start()
	for try := 0; err != nil && try < 3; try++ { // a busy machine
		err = d.f.broker.Start()
	}
	if err != nil {
		d.f.t.Errorf("the broker does not start again: %v", err)
	}
}
