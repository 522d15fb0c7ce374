package main

import (
	"context"
	"time"

	"github.com/cofferdb/coffer/internal/bus"
)

// grace is how long the message in hand may take once its server was asked to stop.
const grace = 10 * time.Second

// finishing is a bus whose servers finish the message in hand before they stop: the
// handler's context ends only a while after the server's.
type finishing struct{ bus.Bus }

// Serve implements bus.Bus.
func (f finishing) Serve(ctx context.Context, at bus.Target, h bus.Handler, ready func()) error {
	return f.Bus.Serve(ctx, at, func(asked context.Context, m bus.Message) (any, error) {
		hctx, end := context.WithCancel(context.WithoutCancel(asked))
		defer end()
		defer context.AfterFunc(asked, func() {
			t := time.AfterFunc(grace, end)
			context.AfterFunc(hctx, func() { t.Stop() })
		})()
		return h(hctx, m)
	}, ready)
}
