package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/internal/lifecycle"
)

// The scripts in testdata are sessions with the program: what is typed, what is
// printed, how it exits. They are also its examples.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"coffer": func() {
			if len(os.Args) > 1 && os.Args[1] == "guard" {
				os.Exit(guard.Main())
			}
			ctx, stop := lifecycle.Signals(context.Background())
			code := run(ctx, os.Args[1:], std())
			stop()
			os.Exit(code)
		},
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			// Sockets have short paths only.
			dir, err := os.MkdirTemp("", "cf")
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o711); err != nil {
				return err
			}
			e.Setenv("S", dir+"/s")
			e.Setenv("COFFER_STATE", dir+"/s")
			e.Setenv("HOME", dir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await},
	})
}

// await polls for a file until it is there.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	poll(func() bool { return exists(args[0]) }, func() { ts.Fatalf("%s does not appear", args[0]) })
}
