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
		"plain":     func(*amqp.Options) {},
		"encrypted": func(o *amqp.Options) { o.Keys = oneKey("k") },
		// A whole oslo server, under its account's name, each Serve with a connection.
		"oslo": func(o *amqp.Options) { o.HostName, o.UserID, o.PerLink = "host-1", true, 1 },
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
