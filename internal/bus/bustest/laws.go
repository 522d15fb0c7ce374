package bustest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
)

var errPlain = errors.New("plain")

type body struct {
	N      int    `json:"n"`
	S      string `json:"s"`
	hidden string
}

var echo = bus.Method[body, body]{Name: "echo"}

func at(t *testing.T) bus.Target { return bus.Target{Topic: "topic." + coffer.NewNonce()[:8]} }

func castReaches(t *testing.T, b bus.Bus) {
	to, got := at(t), make(chan bus.Message, 1)
	Serve(t, b, to, func(_ context.Context, m bus.Message) (any, error) { got <- m; return nil, nil })
	if err := echo.Cast(t.Context(), b, to, body{N: 7, S: "ü", hidden: "x"}); err != nil {
		t.Fatal(err)
	}
	m := wait(t, got, "the message")
	if m.Method != "echo" || string(m.Body) != `{"n":7,"s":"ü"}` {
		t.Errorf("got method %q, body %s", m.Method, m.Body)
	}
}

func castDoesNotWait(t *testing.T, b bus.Bus) {
	to, release, ran := at(t), make(chan struct{}), make(chan struct{})
	Serve(t, b, to, func(context.Context, bus.Message) (any, error) { <-release; close(ran); return nil, nil })
	if err := b.Cast(within(t, patience), to, "m", nil); err != nil {
		t.Fatal(err)
	}
	close(release)
	wait(t, ran, "the handler")
}

func castFailureIsContained(t *testing.T, b bus.Bus) {
	to, got := at(t), make(chan string, 3)
	Serve(t, b, to, func(_ context.Context, m bus.Message) (any, error) {
		got <- m.Method
		if m.Method == "panic" {
			panic("boom")
		}
		return nil, errPlain
	})
	for _, m := range []string{"panic", "fail", "fail"} {
		if err := b.Cast(t.Context(), to, m, nil); err != nil {
			t.Fatalf("cast %s: %v", m, err)
		}
	}
	for range 3 {
		wait(t, got, "each message")
	}
}

func nobodyServes(t *testing.T, b bus.Bus) {
	to := at(t)
	wantKind(t, b.Cast(t.Context(), to, "m", nil), coffer.KindUnavailable)
	wantKind(t, b.Call(within(t, time.Second), to, "m", nil, nil), coffer.KindUnavailable)
}

func callAnswers(t *testing.T, b bus.Bus) {
	to, mux := at(t), bus.Mux{}
	bus.Handle(mux, echo, func(_ context.Context, a body) (body, error) { return body{N: a.N + 1, S: a.S + a.hidden}, nil })
	Serve(t, b, to, mux.Serve)
	got, err := echo.Call(within(t, patience), b, to, body{N: 1, S: "s", hidden: "never travels"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(body{N: 2, S: "s"}, got, cmp.AllowUnexported(body{})); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if err := b.Call(within(t, patience), to, "echo", body{}, nil); err != nil {
		t.Errorf("a nil reply: %v", err)
	}
}

// anyJSON: bodies and answers that are no objects cross as well. A body without a
// value may come as an object without keys.
func anyJSON(t *testing.T, b bus.Bus) {
	to := at(t)
	Serve(t, b, to, func(_ context.Context, m bus.Message) (any, error) { return m.Body, nil })
	for _, want := range []any{"text", "", 7.5, true, []any{1.0, "a", nil}, map[string]any{}, map[string]any{"a": map[string]any{"b": nil}}, nil} {
		var got any
		if err := b.Call(within(t, patience), to, "m", want, &got); err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		if diff := cmp.Diff(want, got); diff != "" && (want != nil || !cmp.Equal(got, any(map[string]any{}))) {
			t.Errorf("(-sent +came):\n%s", diff)
		}
	}
}

func badMessages(t *testing.T, b bus.Bus) {
	to, mux := at(t), bus.Mux{}
	bus.Handle(mux, echo, func(_ context.Context, a body) (body, error) { return a, nil })
	Serve(t, b, to, mux.Serve)
	wantKind(t, b.Call(within(t, patience), to, "nothing", body{}, nil), coffer.KindUnsupported)
	wantKind(t, b.Call(within(t, patience), to, "echo", "no object", nil), coffer.KindInvalid)
}

func errorsCross(t *testing.T, b bus.Bus) {
	to := at(t)
	kinds := []coffer.Kind{coffer.KindConflict, coffer.KindNotFound, coffer.KindNeedFull, coffer.KindInternal}
	Serve(t, b, to, func(_ context.Context, m bus.Message) (any, error) {
		if m.Method == "plain" {
			return nil, errPlain
		}
		err := coffer.E(coffer.Kind(m.Method), "weigh it", "too %s", "heavy").WithHint("put it down")
		return nil, coffer.Wrap("carry it", err)
	})
	for _, k := range kinds {
		err := b.Call(within(t, patience), to, string(k), nil, nil)
		wantKind(t, err, k)
		if got, want := err.Error(), "carry it: weigh it: too heavy"; got != want {
			t.Errorf("text %q, want %q", got, want)
		}
		if got, want := coffer.HintOf(err), "put it down"; got != want {
			t.Errorf("hint %q, want %q", got, want)
		}
	}
	err := b.Call(within(t, patience), to, "plain", nil, nil)
	wantKind(t, err, coffer.KindInternal)
	if errors.Is(err, errPlain) {
		t.Error("the error's value crossed the bus, not its text")
	}
}

func panicIsInternal(t *testing.T, b bus.Bus) {
	to := at(t)
	Serve(t, b, to, func(_ context.Context, m bus.Message) (any, error) {
		if m.Method == "panic" {
			panic("boom")
		}
		return nil, nil
	})
	wantKind(t, b.Call(within(t, patience), to, "panic", nil, nil), coffer.KindInternal)
	if err := b.Call(within(t, patience), to, "next", nil, nil); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func notJSON(t *testing.T, b bus.Bus) {
	to := at(t)
	Serve(t, b, to, func(context.Context, bus.Message) (any, error) { return func() {}, nil })
	wantKind(t, b.Cast(t.Context(), to, "m", make(chan int)), coffer.KindInvalid)
	wantKind(t, b.Call(within(t, patience), to, "m", make(chan int), nil), coffer.KindInvalid)
	wantKind(t, b.Call(within(t, patience), to, "m", nil, nil), coffer.KindInternal)
}

func wantKind(t *testing.T, err error, want coffer.Kind) {
	t.Helper()
	if got := coffer.KindOf(err); got != want {
		t.Fatalf("kind %q, want %q (%s)", got, want, fmt.Sprint(err))
	}
}
