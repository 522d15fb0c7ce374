package histories

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
)

// valve lets a stream through bit by bit, so that steps fall into the run: after
// every so many bytes it waits for one to end, but not long (the backup's own locks
// may be what the step waits for).
type valve struct {
	enginetest.Recorder
	a     *actor
	done  <-chan struct{} // closed when all steps are done
	every int64
	since int64
}

const (
	patience  = 60 * time.Millisecond
	fullEvery = 3 << 20
	incrEvery = 128 << 10
)

// Write keeps p and waits.
func (v *valve) Write(p []byte) (int, error) {
	for v.since += int64(len(p)); v.since >= v.every; v.since -= v.every {
		timer := time.NewTimer(patience)
		select {
		case <-v.done:
		case <-v.a.next():
		case <-timer.C:
		}
		timer.Stop()
	}
	return v.Recorder.Write(p)
}

// taken is a backup that was accepted.
type taken struct {
	layer engine.Layer
	next  engine.Base
	link  link
}

// take takes one backup onto base while the actor plays n ops.
func (h *history) take(ctx context.Context, base engine.Base, n int) (taken, error) {
	done := make(chan struct{})
	v := &valve{a: h.actor, done: done, every: fullEvery}
	if !base.Full() {
		v.every = incrEvery
	}
	before := time.Now()
	_, err := h.engine.Probe(ctx, base)
	if err != nil {
		return taken{}, err
	}
	var acted error
	go func() {
		defer close(done)
		acted = h.actor.act(ctx, n)
	}()
	res, err := h.engine.Backup(ctx, v, base, engine.Options{})
	after := time.Now()
	<-done
	if acted != nil {
		h.t.Fatalf("seed %d: the actor: %v", h.seed, acted)
	}
	if err != nil {
		return taken{}, err
	}
	id := coffer.BackupID(coffer.NewUUID())
	return taken{
		layer: v.Layer(id, res.Position),
		next:  engine.Base{Backup: id, Position: res.Position, Summary: res.Summary},
		link:  link{before: before, after: after, shop: h.writer.Journal(), steps: h.actor.journal()},
	}, nil
}
