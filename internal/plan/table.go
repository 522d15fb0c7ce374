package plan

import (
	"fmt"

	"github.com/cofferdb/coffer"
)

// OneTable is the method of a plan for one table.
const OneTable coffer.Way = "merged, one table"

// Table says what a restore of one table of the chain would do. What it reads and
// needs the host has seen in the indexes; zero is that it has not.
func Table(chain []coffer.Backup, host HostFacts) RestorePlan {
	p := Restore(chain, host, "")
	p.Stops = append([]string(nil), host.Stops...)
	p.Method, p.Reason = OneTable, ""
	p.ReadBytes, p.NeedBytes = host.Read, host.Need
	if err := coffer.CheckChain(chain); err != nil {
		p.Stops = append(p.Stops, err.Error())
	}
	if host.Agent != "" && host.Free < p.NeedBytes {
		p.Stops = append(p.Stops, fmt.Sprintf("%s has %d bytes free and the table needs %d", host.Dir, host.Free, p.NeedBytes))
	}
	return p
}
