package amqp_test

import (
	"testing"

	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/bus/bustest"
)

func TestLaw(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*amqp.Options){
		"plain":       func(*amqp.Options) {},
		"whole oslo":  func(o *amqp.Options) { o.HostName = "host-1" },
		"encrypted":   func(o *amqp.Options) { o.Keys = oneKey("k") },
		"two on link": func(o *amqp.Options) { o.PerLink = 1; o.Prefetch = 1; o.UserID = true },
	} {
		t.Run(name, func(t *testing.T) {
			addr := broker(t).Addr()
			t.Parallel()
			bustest.Run(t, func(t *testing.T) bus.Bus {
				o := options(addr)
				change(&o)
				return dial(t, o)
			})
		})
	}
}
