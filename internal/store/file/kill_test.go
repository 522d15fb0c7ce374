package file_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
)

const childEnv = "COFFER_FILE_CHILD"

func TestMain(m *testing.M) {
	if root := os.Getenv(childEnv); root != "" {
		fmt.Fprintln(os.Stderr, writeForEver(root, os.Getpid()))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

const killedSize = 300_000

// killedContent is a function of the name alone.
func killedContent(name string) []byte {
	return bytes.Repeat([]byte(name+"\n"), killedSize/len(name))[:killedSize]
}

// writeForEver puts and uploads objects until it is killed.
func writeForEver(root string, run int) error {
	ctx := context.Background()
	s, err := file.New(root, file.Options{})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("r%d/put/%d", run, i)
		if _, err := s.Put(ctx, name, store.Bytes(killedContent(name)), nil); err != nil {
			return err
		}
		fmt.Println(name)
		name = fmt.Sprintf("r%d/up/%d", run, i)
		b := killedContent(name)
		u, err := s.Begin(ctx, name, nil)
		if err != nil {
			return err
		}
		var parts []store.Part
		for j, half := range [][]byte{b[:killedSize/2], b[killedSize/2:]} {
			p, err := s.Part(ctx, u, j, int64(j*killedSize/2), store.Bytes(half))
			if err != nil {
				return err
			}
			parts = append(parts, p)
		}
		if _, err := s.Complete(ctx, u, parts); err != nil {
			return err
		}
		fmt.Println(name)
	}
}

// TestKilledWriters kills writers at odd moments: all that was answered is there,
// all that is there is whole, and what was begun can be found and aborted.
func TestKilledWriters(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, root)
	answered := map[string]bool{}
	for i := range 12 {
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+root)
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(60+i*7)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the writer was not killed: %v", err)
		}
		for line := range strings.Lines(out.String()) {
			answered[strings.TrimSpace(line)] = true
		}
	}
	found := 0
	for o, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		found++
		delete(answered, o.Name)
		r, err := s.Open(t.Context(), o.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || r.Close() != nil || !bytes.Equal(got, killedContent(o.Name)) {
			t.Errorf("%s is not whole: %d bytes, %v", o.Name, len(got), err)
		}
	}
	if found == 0 || len(answered) > 0 {
		t.Errorf("%d objects, %d answered ones are missing: %v", found, len(answered), answered)
	}
	for u, err := range s.Stale(t.Context(), "") {
		if err != nil || s.Abort(t.Context(), u) != nil {
			t.Errorf("stale %+v: %v", u, err)
		}
	}
	for u := range s.Stale(t.Context(), "") {
		t.Errorf("still stale: %+v", u)
	}
}
