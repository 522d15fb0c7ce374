//go:build failpoints

package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer/internal/agent"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/taskmanager"
)

// failpoint kills (or stops) this process at the steps that COFFER_FAILPOINT
// names: "step=kill" or "step=stop", several with commas between, each once. With
// COFFER_FAILPOINT_ONCE naming a file, only while that file does not exist, and the
// file is made first. It exists in builds with the tag failpoints only: the tests'
// own.
func failpoint(step string) {
	for one := range strings.SplitSeq(os.Getenv("COFFER_FAILPOINT"), ",") {
		want, action, _ := strings.Cut(one, "=")
		if want != step {
			continue
		}
		if _, before := fired.LoadOrStore(step, true); !before {
			end(action)
		}
	}
}

func end(action string) {
	if once := os.Getenv("COFFER_FAILPOINT_ONCE"); once != "" {
		f, err := os.OpenFile(once, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		f.Close()
	}
	sig := unix.SIGKILL
	if action == "stop" {
		sig = unix.SIGSTOP
	}
	if err := unix.Kill(os.Getpid(), sig); err != nil {
		os.Exit(86)
	}
	time.Sleep(20 * time.Millisecond) // another thread may take the signal: go no further meanwhile
}

var fired sync.Map

// timing is the value of one of the tests' own timings: COFFER_TEST_TIMINGS is a
// list such as "lease=3s,deadline=2s". Without it v stays.
func timing(name string, v *time.Duration) {
	for one := range strings.SplitSeq(os.Getenv("COFFER_TEST_TIMINGS"), ",") {
		key, text, _ := strings.Cut(one, "=")
		if d, err := time.ParseDuration(text); err == nil && key == name {
			*v = d
		}
	}
}

// tuneAgent shortens the agent's timings.
func tuneAgent(c *agent.Config) {
	timing("beat", &c.Beat)
	timing("heartbeat", &c.Heartbeat)
	timing("deadline", &c.Deadline)
}

// tuneBus shortens the longest pause between two tries to reach the broker.
func tuneBus(o *amqp.Options) { timing("backoff", &o.Backoff.Max) }

// tuneTasks shortens the task manager's timings: the same deadline.
func tuneTasks(t *taskmanager.Timings) {
	timing("lease", &t.Lease)
	timing("deadline", &t.Deadline)
	timing("grace", &t.Grace)
	timing("sweep", &t.Sweep)
	timing("shorten", &t.Shorten)
}

// failpointStore names a step before and after each change of the store:
// "before put .manifest.json", "after delete .index", "before complete .zst".
func failpointStore(s store.Full) store.Full { return steppedStore{s} }

type steppedStore struct{ store.Full }

// MaxParts passes the question on.
func (s steppedStore) MaxParts(ctx context.Context) (int, error) { return store.MaxParts(ctx, s.Full) }

// suffix is the object's kind: what follows the backup's id.
func suffix(name string) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	if len(name) > 36 {
		return name[36:]
	}
	return name
}

func (s steppedStore) Put(ctx context.Context, name string, b store.Body, m store.Meta) (store.Object, error) {
	failpoint("before put " + suffix(name))
	o, err := s.Full.Put(ctx, name, b, m)
	failpoint("after put " + suffix(name))
	return o, err
}

func (s steppedStore) Delete(ctx context.Context, name string) error {
	failpoint("before delete " + suffix(name))
	err := s.Full.Delete(ctx, name)
	failpoint("after delete " + suffix(name))
	return err
}

func (s steppedStore) Part(ctx context.Context, u store.Upload, i int, off int64, b store.Body) (store.Part, error) {
	failpoint("before part")
	p, err := s.Full.Part(ctx, u, i, off, b)
	failpoint("after part")
	return p, err
}

func (s steppedStore) Complete(ctx context.Context, u store.Upload, parts []store.Part) (store.Object, error) {
	failpoint("before complete " + suffix(u.Name))
	o, err := s.Full.Complete(ctx, u, parts)
	failpoint("after complete " + suffix(u.Name))
	return o, err
}
