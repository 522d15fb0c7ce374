package main

import (
	"cmp"
	"fmt"
	"io"
	"os"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/packaging"
)

type configCmd struct {
	Check   configCheckCmd   `cmd:"" help:"Say everything that is wrong in a configuration."`
	Import  configImportCmd  `cmd:"" help:"Turn a trove.conf into a configuration."`
	Example configExampleCmd `cmd:"" help:"Print an annotated example, every key with its default."`
}

type configCheckCmd struct {
	File string `arg:"" optional:"" type:"path" help:"The configuration; COFFER_CONFIG or /etc/coffer/coffer.toml by default."`
	Role string `help:"Ask for what this role needs: server, api, taskmanager, conductor or agent." enum:"server,api,taskmanager,conductor,agent," default:""`
}

// Help is shown by --help.
func (configCheckCmd) Help() string {
	return `Reads the file and the environment as the processes do, and looks at the files that it names. Nothing is connected to.

Examples:
  coffer config check /etc/coffer/coffer.toml
  coffer config check --role agent
  coffer -o json config check

` + exitHelp
}

// checkOut is a check's result as it is printed.
type checkOut struct {
	File     string           `json:"file"`
	Problems []config.Problem `json:"problems"`
}

func (c checkOut) text(w io.Writer) {
	for _, p := range c.Problems {
		fmt.Fprintln(w, p)
	}
	if len(c.Problems) == 0 {
		fmt.Fprintln(w, c.File+": no problem")
	}
}

// Run reads and checks.
func (c *configCheckCmd) Run(e *environment) error {
	f := configFlag{Config: cmp.Or(c.File, os.Getenv("COFFER_CONFIG"))}
	cfg, err := f.load(true)
	if coffer.IsKind(err, coffer.KindNotFound, coffer.KindForbidden) {
		return err
	}
	out := checkOut{cfg.File, append([]config.Problem{}, config.ProblemsOf(err)...)}
	told := map[string]bool{}
	for _, p := range out.Problems {
		told[p.Key] = true
	}
	for _, p := range cfg.Check(config.Role(c.Role)) {
		if !told[p.Key] { // a key that was not understood is not judged as well
			out.Problems = append(out.Problems, p)
		}
	}
	if err := e.show(out); err != nil {
		return err
	}
	if len(out.Problems) > 0 {
		return exitCode(exitUsage)
	}
	return nil
}

type configExampleCmd struct{}

// Run prints the example.
func (configExampleCmd) Run(e *environment) error {
	_, err := io.WriteString(e.out, packaging.Example)
	return err
}
