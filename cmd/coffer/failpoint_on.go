//go:build failpoints

package main

import (
	"context"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer/internal/store"
)

// failpoint kills (or stops) this process at the step that COFFER_FAILPOINT
// names: "step=kill" or "step=stop". With COFFER_FAILPOINT_ONCE naming a file,
// only while that file does not exist, and the file is made first. It exists in
// builds with the tag failpoints only: the tests' own.
func failpoint(step string) {
	want, action, _ := strings.Cut(os.Getenv("COFFER_FAILPOINT"), "=")
	if want != step || fired.Swap(true) {
		return
	}
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
}

var fired atomic.Bool

// failpointStore names a step before and after each change of the store:
// "before put .manifest.json", "after delete .index", "before complete .zst".
func failpointStore(s store.Full) store.Full { return steppedStore{s} }

type steppedStore struct{ store.Full }

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
