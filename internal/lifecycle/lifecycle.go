// Package lifecycle runs the long parts of a program under one rule: a part runs
// until its context ends and returns only when it has stopped. [Run] starts
// parts together, ends all of them when one fails, and waits for every one, so
// that nothing of a role outlives the call that started it.
package lifecycle

import (
	"context"
	"errors"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cofferdb/coffer"
)

// Part is one long-running piece of a program. Run obeys its context: it returns
// soon after the end, with everything that it started stopped.
type Part struct {
	Name string // as in "run <name>" of an error
	Run  func(context.Context) error
}

// Run runs parts until ctx ends, and returns when all of them have returned. The
// first part that fails ends the others and its error is returned; their context
// has it as its cause. A part that returns nil has finished and leaves the
// others running. Being ended by the context is no failure.
func Run(ctx context.Context, parts ...Part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for _, p := range parts {
		wg.Go(func() {
			err := p.Run(ctx)
			if err == nil || ended(ctx, err) {
				return
			}
			once.Do(func() {
				first = coffer.Wrap("run "+p.Name, err)
				cancel(first)
			})
		})
	}
	wg.Wait()
	return first
}

// ended reports whether err only says that ctx has ended.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil &&
		(errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)) || coffer.IsKind(err, coffer.KindCanceled))
}

// Signals gives a context that SIGINT or SIGTERM ends. The first signal asks; it
// also gives the signals their usual effect back, so that a second one ends a
// program that does not stop. Call stop when done.
func Signals(ctx context.Context) (_ context.Context, stop context.CancelFunc) {
	ctx, stop = signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
