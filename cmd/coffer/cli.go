package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/cofferdb/coffer"
)

// streams are where a command reads and writes; tests give their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // err is a terminal: progress may redraw its line
}

// cli is every command. One file a command: its flags, its help, its Run.
type cli struct {
	State string `help:"Folder that this Coffer keeps its state in (${state})." env:"COFFER_STATE" type:"path" placeholder:"DIR"`
	remoteFlags
	Output string `short:"o" help:"Form of what is printed: text or json." enum:"text,json" default:"text"`
	Debug  bool   `help:"Log more, to standard error."`

	Server      serverCmd      `cmd:"" help:"Run the control plane and an agent in this process."`
	API         apiCmd         `cmd:"" name:"api" help:"Run the API alone."`
	TaskManager taskManagerCmd `cmd:"" name:"taskmanager" help:"Run a task manager alone."`
	Conductor   conductorCmd   `cmd:"" help:"Run a conductor alone."`
	Agent       agentCmd       `cmd:"" help:"Run an agent alone, and see the agents there are."`
	CA          caCmd          `cmd:"" name:"ca" help:"Make the authority and the certificates that the processes trust."`
	Config      configCmd      `cmd:"" help:"Check, print and import the configuration of these processes."`
	Backup      backupCmd      `cmd:"" help:"Make, see, check and delete backups."`
	Restore     restoreCmd     `cmd:"" help:"Turn a backup into a running server, or into files."`
	Instance    instanceCmd    `cmd:"" help:"Register and see the databases that are looked after."`
	Keys        keysCmd        `cmd:"" help:"Make and see the keys that backups are encrypted for."`
	Trove       troveCmd       `cmd:"" help:"Take over what OpenStack's Trove knows, and have its guests under this control plane."`
	Catalogue   catalogueCmd   `cmd:"" help:"Bring the records back from a store."`
	Sweep       sweepCmd       `cmd:"" help:"Remove what dead backups have left in the stores, now."`
	Quickstart  quickstartCmd  `cmd:"" help:"See it all on a private MariaDB with generated data: back up, increment, restore, compare."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// Exit codes of every command; help texts repeat them.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitBusy     = 4
	exitAway     = 5
	exitStopped  = 130
)

const exitHelp = `Exit codes: 0 done; 1 it failed; 2 wrong usage; 3 no such thing; 4 busy, or not possible in this state; 5 try again: the server cannot be reached, or something came in between; 130 interrupted.`

func std() streams {
	fi, err := os.Stderr.Stat()
	return streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: err == nil && fi.Mode()&os.ModeCharDevice != 0}
}

// exited carries kong's wish to exit (after --help) out of the parser.
type exited int

// run is the program as a value: it parses args, runs one command, prints its
// error with what to do next, and gives the exit code.
func run(ctx context.Context, args []string, s streams) (code int) {
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	var c cli
	p, err := kong.New(&c,
		kong.Name("coffer"), kong.Description("Database backup as a service.\n\n"+exitHelp),
		kong.Writers(s.out, s.err), kong.Vars{"state": defaultState()},
		kong.Exit(func(n int) { panic(exited(n)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: false}),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintln(s.err, "coffer:", err)
		return exitFailed
	}
	k, err := p.Parse(args)
	if err != nil {
		env := &environment{ctx: ctx, streams: s, json: wantsJSON(args)}
		return env.report(coffer.E(coffer.KindInvalid, "", "%w", err).WithHint("coffer --help"))
	}
	env := &environment{
		ctx: ctx, streams: s, state: stateDir(c.State), remote: c.remoteFlags, json: c.Output == "json", debug: c.Debug,
	}
	if env.stateGiven = c.State != ""; !env.stateGiven {
		env.state = stateDir(defaultState())
	}
	return env.report(k.Run(env))
}

// wantsJSON looks for -o json among arguments that could not be parsed.
func wantsJSON(args []string) bool {
	for i, a := range args {
		switch {
		case a == "-ojson" || a == "-o=json" || a == "--output=json":
			return true
		case (a == "-o" || a == "--output") && i+1 < len(args) && args[i+1] == "json":
			return true
		}
	}
	return false
}

// environment is what a command's Run needs.
type environment struct {
	streams
	ctx        context.Context
	state      stateDir
	stateGiven bool // by --state or COFFER_STATE, which win over a configuration
	remote     remoteFlags
	json       bool
	debug      bool
}

// home is the state folder of a process: as given, else as configured, else the
// usual one.
func (e *environment) home(configured, usual string) {
	if !e.stateGiven {
		e.state = stateDir(cmp.Or(configured, usual))
	}
}

// report prints an error as a person needs it: what failed, and what to do next.
func (e *environment) report(err error) int {
	if err == nil {
		return exitOK
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	hint := coffer.HintOf(err)
	if hint == "" && coffer.IsKind(err, coffer.KindNotFound) {
		hint = "what there is: coffer backup list, coffer instance list"
	}
	if e.json {
		e.print(map[string]any{"error": map[string]string{
			"kind": string(coffer.KindOf(err)), "message": err.Error(), "hint": hint,
		}})
	} else {
		fmt.Fprintln(e.err, "coffer:", err)
		if hint != "" {
			fmt.Fprintln(e.err, "  next:", hint)
		}
	}
	return codeOf(err)
}

// exitCode ends a command that has already said what there is to say.
type exitCode int

// Error names the code; it is never printed.
func (c exitCode) Error() string { return fmt.Sprintf("exit %d", int(c)) }

func codeOf(err error) int {
	switch coffer.KindOf(err) {
	case coffer.KindInvalid:
		return exitUsage
	case coffer.KindNotFound:
		return exitNotFound
	case coffer.KindBusy, coffer.KindConflict, coffer.KindUnprocessable, coffer.KindKept, coffer.KindQuota:
		return exitBusy
	case coffer.KindUnavailable:
		return exitAway
	case coffer.KindCanceled:
		return exitStopped
	}
	return exitFailed
}
