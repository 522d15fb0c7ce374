package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Stopper is a server, or a set of them, that can be ended.
type Stopper interface{ Stop() }

// Shared is a server that the tests of one package share: started by the first
// test that asks, ended by TestMain after the last.
type Shared[T Stopper] struct {
	start func() (T, error)
	once  sync.Once
	value T
	err   error
}

// Share makes a Shared of a function that starts the server.
func Share[T Stopper](start func() (T, error)) *Shared[T] { return &Shared[T]{start: start} }

// For is the server. A missing program skips the test, or fails it with CI=true.
func (s *Shared[T]) For(t testing.TB) T {
	t.Helper()
	v, err := s.Get()
	if _, missing := errors.AsType[*missingError](err); missing && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Get is For without a test.
func (s *Shared[T]) Get() (T, error) {
	s.once.Do(func() { s.value, s.err = s.start() })
	return s.value, s.err
}

// Stop ends the server, if it was started.
func (s *Shared[T]) Stop() {
	started := true
	s.once.Do(func() { started = false })
	if started && s.err == nil {
		s.value.Stop()
	}
}

// missingError is the answer when a program is not installed.
type missingError struct{ program string }

func (e *missingError) Error() string { return e.program + " is not installed" }

func lookAll(programs ...string) error {
	for _, p := range programs {
		if _, err := Look(p); err != nil {
			return &missingError{p}
		}
	}
	return nil
}

// farm is a set of processes with one folder. Their output is in dir/log.
type farm struct {
	dir   string
	names []string
	procs map[string]*process
}

// start runs a program in the background; it ends with this process.
func (f *farm) start(name string, env []string, program string, args ...string) error {
	path, err := Look(program)
	if err != nil {
		return &missingError{program}
	}
	if err := os.MkdirAll(filepath.Join(f.dir, "log"), 0o755); err != nil {
		return err
	}
	log, err := os.Create(f.log(name))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.dir, log, log
	cmd.Env = append(systemEnv(), env...)
	p, err := startProcess(cmd, os.Getuid(), os.Getgid(), true)
	if err != nil {
		return err
	}
	if f.procs == nil {
		f.procs = map[string]*process{}
	}
	f.procs[name] = p
	f.names = append(f.names, name)
	return nil
}

// systemEnv makes sure that Debian's own interpreter is found first.
func systemEnv() []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PATH=") || strings.HasPrefix(v, "PYTHON") || strings.HasPrefix(v, "OS_")
	}), "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")
}

func (f *farm) log(name string) string { return filepath.Join(f.dir, "log", name+".out") }

// run runs a program to its end.
func (f *farm) run(program string, args ...string) error {
	path, err := Look(program)
	if err != nil {
		return &missingError{program}
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = f.dir, systemEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, tail(out))
	}
	return nil
}

// await polls until ready says yes, the process called name ends, or the time is
// over.
func (f *farm) await(name string, patience time.Duration, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if ready(ctx) {
			return nil
		}
		p := f.procs[name]
		select {
		case <-p.done:
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
			continue
		}
		out, _ := os.ReadFile(f.log(name))
		return fmt.Errorf("%s does not answer; the end of its output:\n%s", name, tail(out))
	}
}

// stop ends all processes, the last first. What they store is thrown away, so
// they get no time to save it.
func (f *farm) stop() {
	for _, name := range slices.Backward(f.names) {
		p := f.procs[name]
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // with its workers: it leads a group
		<-p.done
	}
	f.names, f.procs = nil, nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

// answers reports whether url answers with that status.
func answers(ctx context.Context, url string, status int) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == status
}

// uuid is a random one of version 4.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
