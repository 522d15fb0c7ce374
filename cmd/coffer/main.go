// Command coffer is database backup as a service: a control plane, an agent
// beside the database, and the commands to use them, in one binary. Run
// "coffer --help", or begin with docs/ARCHITECTURE.md.
package main

import (
	"context"
	"os"

	"github.com/cofferdb/coffer/internal/guard"
	"github.com/cofferdb/coffer/internal/lifecycle"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "guard" { // a backup tool's guard: it handles no signals of ours
		os.Exit(guard.Main())
	}
	ctx, stop := lifecycle.Signals(context.Background())
	code := run(ctx, os.Args[1:], std())
	stop()
	os.Exit(code)
}
