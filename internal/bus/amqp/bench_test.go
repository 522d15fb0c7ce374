package amqp_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/testenv"
)

func benchBus(b *testing.B) *amqp.Bus {
	broker := testenv.RabbitMQ(b, testenv.RabbitMQOptions{})
	bus, err := amqp.Dial(b.Context(), options(broker.Addr()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bus.Close() })
	return bus
}

// serveMany serves n topics and waits until all are ready.
func serveMany(b *testing.B, on *amqp.Bus, n int, h bus.Handler) (topics []bus.Target) {
	ctx, stop := context.WithCancel(context.Background())
	var ready, done sync.WaitGroup
	ready.Add(n)
	for range n {
		at := bus.Target{Topic: "guestagent." + coffer.NewUUID()}
		topics = append(topics, at)
		done.Go(func() {
			if err := on.Serve(ctx, at, h, ready.Done); err != nil {
				b.Error(err)
			}
		})
	}
	ready.Wait()
	b.Cleanup(func() { stop(); done.Wait() })
	return topics
}

func nothing(context.Context, bus.Message) (any, error) { return nil, nil }

// Casts by 64 senders to one topic, each confirmed.
func BenchmarkCast(b *testing.B) {
	on := benchBus(b)
	at := serveMany(b, on, 1, nothing)[0]
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := on.Cast(b.Context(), at, "heartbeat", map[string]int{"n": 1}); err != nil {
				b.Error(err)
			}
		}
	})
}

// Calls by one caller, one after another.
func BenchmarkCall(b *testing.B) {
	on := benchBus(b)
	at := serveMany(b, on, 1, nothing)[0]
	for b.Loop() {
		if err := on.Call(b.Context(), at, "ping", nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// A thousand Serves begin: what one costs in goroutines and in memory here.
func BenchmarkServe(b *testing.B) {
	for b.Loop() {
		on := benchBus(b)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := runtime.NumGoroutine()
		serveMany(b, on, 1000, nothing)
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(runtime.NumGoroutine()-n)/1000, "goroutines/serve")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1000, "bytes/serve")
	}
}
