package main

import (
	"fmt"
	"runtime/debug"
)

// release is set at build time; without it the version is the module's.
var release = ""

func version() string {
	if release != "" {
		return release
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "0.1.0-dev"
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *environment) error {
	if e.json {
		return e.print(map[string]string{"version": version()})
	}
	_, err := fmt.Fprintln(e.out, "coffer", version())
	return err
}
