package main

import (
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
)

// politeFlags say how one instance's backups hold back; what is not given is as the
// agent's configuration says.
type politeFlags struct {
	Bandwidth string `placeholder:"50MiB" help:"Most bytes a second that a backup reads while it holds nobody."`
	Nice      int    `placeholder:"N" help:"CPU priority of the backup tool, up to 19."`
	IONice    string `name:"ionice" placeholder:"CLASS" help:"Disk priority of the backup tool: idle or best-effort."`
	Parallel  int    `placeholder:"N" help:"Files that the backup tool copies at once."`
	Throttle  int    `placeholder:"N" help:"Pairs of reads and writes a second of the backup tool."`
}

func (f politeFlags) polite() (coffer.Polite, error) {
	p := coffer.Polite{Nice: f.Nice, IONice: f.IONice, Parallel: f.Parallel, Throttle: f.Throttle}
	if f.Bandwidth != "" {
		n, err := config.ParseSize(f.Bandwidth)
		if err != nil {
			return p, coffer.E(coffer.KindInvalid, "read --bandwidth", "%w", err)
		}
		p.Bandwidth = int64(n)
	}
	return p, p.Check()
}

// politeText is how an instance's backups hold back; "" is as the agent's do.
func politeText(p coffer.Polite) string {
	var parts []string
	add := func(given bool, format string, v any) {
		if given {
			parts = append(parts, fmt.Sprintf(format, v))
		}
	}
	add(p.Bandwidth > 0, "%s/s", bytesText(p.Bandwidth))
	add(p.Nice > 0, "nice %d", p.Nice)
	add(p.IONice != "", "ionice %s", p.IONice)
	add(p.Parallel > 0, "%d files at once", p.Parallel)
	add(p.Throttle > 0, "%d reads and writes a second", p.Throttle)
	return strings.Join(parts, ", ")
}
