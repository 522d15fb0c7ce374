package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/lifecycle"
)

const childEnv = "COFFER_LIFECYCLE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		ctx, stop := lifecycle.Signals(context.Background())
		defer stop()
		fmt.Println("ready")
		<-ctx.Done()
		fmt.Println("asked")
		select {} // does not stop: the second signal must end it
	}
	goleak.VerifyTestMain(m)
}

func until(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestRunFirstErrorEndsAll(t *testing.T) {
	t.Parallel()
	boom := coffer.E(coffer.KindNoSpace, "write", "full").WithHint("make room")
	var cause error
	err := lifecycle.Run(t.Context(),
		lifecycle.Part{Name: "api", Run: func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return errors.New("a late echo")
		}},
		lifecycle.Part{Name: "agent", Run: func(context.Context) error { return boom }},
		lifecycle.Part{Name: "done", Run: func(context.Context) error { return nil }},
	)
	if !errors.Is(err, boom) || coffer.KindOf(err) != coffer.KindNoSpace || coffer.HintOf(err) != "make room" {
		t.Errorf("got %v, want the first cause with its kind and hint", err)
	}
	if want := "run agent: write: full"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if !errors.Is(cause, boom) {
		t.Errorf("the others see the cause %v", cause)
	}
}

func TestRunEndsCleanly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var stopped atomic.Int32
	part := lifecycle.Part{Name: "p", Run: func(ctx context.Context) error {
		defer stopped.Add(1)
		return until(ctx)
	}}
	time.AfterFunc(5*time.Millisecond, cancel)
	if err := lifecycle.Run(ctx, part, part, part); err != nil || stopped.Load() != 3 {
		t.Errorf("got %v with %d stopped, want nil with 3", err, stopped.Load())
	}
	if err := lifecycle.Run(ctx, part); err != nil {
		t.Errorf("started after the end: %v", err)
	}
	if err := lifecycle.Run(t.Context()); err != nil {
		t.Errorf("no parts: %v", err)
	}
	unclean := lifecycle.Part{Name: "flush", Run: func(ctx context.Context) error { <-ctx.Done(); return errors.New("lost") }}
	if err := lifecycle.Run(ctx, part, unclean); err == nil {
		t.Error("a part that ends badly on the way out is a failure")
	}
}

// TestRunStress starts and ends groups at random moments; the race detector and
// the leak check of TestMain look on.
func TestRunStress(t *testing.T) {
	t.Parallel()
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		var running atomic.Int32
		parts := make([]lifecycle.Part, 1+i%7)
		fails := i%3 == 0
		for j := range parts {
			parts[j] = lifecycle.Part{Name: fmt.Sprint(j), Run: func(ctx context.Context) error {
				running.Add(1)
				defer running.Add(-1)
				if fails && j == 0 {
					return errors.New("boom")
				}
				return until(ctx)
			}}
		}
		timer := time.AfterFunc(time.Duration(rand.N(300))*time.Microsecond, cancel)
		err := lifecycle.Run(ctx, parts...)
		timer.Stop()
		cancel()
		if n := running.Load(); n != 0 {
			t.Fatalf("round %d: %d parts outlive Run", i, n)
		}
		if (err != nil) != fails {
			t.Fatalf("round %d: got %v, fails=%v", i, err, fails)
		}
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var line string
		for _, want := range []string{"ready", "asked"} {
			if _, err := fmt.Fscanln(out, &line); err != nil || line != want {
				t.Fatalf("%v: got %q, %v, want %q", sig, line, err, want)
			}
			if want == "ready" {
				_ = cmd.Process.Signal(sig)
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for err = nil; err == nil; { // the handler is given back soon after the first signal
			_ = cmd.Process.Signal(sig)
			select {
			case err = <-ended:
			case <-time.After(10 * time.Millisecond):
			}
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != sig {
			t.Errorf("%v: the second signal gives %v", sig, err)
		}
	}
}
