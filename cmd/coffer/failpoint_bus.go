//go:build failpoints

package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

// failpointBus loses and repeats messages, as COFFER_TEST_BUS says:
// "seed=7,drop=0.02,dup=0.02".
func failpointBus(b bus.Bus) bus.Bus {
	words := os.Getenv("COFFER_TEST_BUS")
	if words == "" {
		return b
	}
	l := &lossyBus{Bus: b}
	for one := range strings.SplitSeq(words, ",") {
		key, text, _ := strings.Cut(one, "=")
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		switch key {
		case "seed":
			l.dice = rand.New(rand.NewPCG(uint64(v), 0))
		case "drop":
			l.drop = v
		case "dup":
			l.dup = v
		}
	}
	if l.dice == nil {
		l.dice = rand.New(rand.NewPCG(0, 0))
	}
	return l
}

// lossyBus is a bus whose messages get lost on the way there, or their answers on
// the way back, and come again late.
type lossyBus struct {
	bus.Bus
	drop, dup float64

	mu   sync.Mutex
	dice *rand.Rand
}

// fate is what becomes of one message.
type fate struct {
	lost, unanswered, again bool
	late                    time.Duration
}

func (l *lossyBus) fate() fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := fate{again: l.dice.Float64() < l.dup, late: time.Duration(l.dice.Int64N(int64(2 * time.Second)))}
	if l.dice.Float64() < l.drop {
		f.lost = l.dice.IntN(2) == 0
		f.unanswered = !f.lost
	}
	return f
}

// Cast implements bus.Bus. One that is lost looks delivered, as when the broker dies
// with it.
func (l *lossyBus) Cast(ctx context.Context, to bus.Target, method string, body any) error {
	f := l.fate()
	if f.lost {
		return nil
	}
	if f.again {
		l.repeat(ctx, f.late, body, func(ctx context.Context, b json.RawMessage) error { return l.Bus.Cast(ctx, to, method, b) })
	}
	err := l.Bus.Cast(ctx, to, method, body)
	if f.unanswered && err == nil {
		return lost(method)
	}
	return err
}

// Call implements bus.Bus.
func (l *lossyBus) Call(ctx context.Context, to bus.Target, method string, body, reply any) error {
	f := l.fate()
	if f.again {
		l.repeat(ctx, f.late, body, func(ctx context.Context, b json.RawMessage) error { return l.Bus.Call(ctx, to, method, b, nil) })
	}
	if f.lost {
		return lost(method)
	}
	if f.unanswered {
		if err := l.Bus.Call(ctx, to, method, body, nil); err != nil {
			return err
		}
		return lost(method)
	}
	return l.Bus.Call(ctx, to, method, body, reply)
}

// repeat sends the message once more, later.
func (l *lossyBus) repeat(ctx context.Context, late time.Duration, body any, send func(context.Context, json.RawMessage) error) {
	b, err := json.Marshal(body)
	if err != nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	time.AfterFunc(late, func() {
		ctx, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		_ = send(ctx, b) // nobody waits for it
	})
}

func lost(method string) error {
	return coffer.E(coffer.KindUnavailable, "send "+method, "it was lost, as a test wants")
}
