package plan

import (
	"fmt"
	"math"

	"github.com/cofferdb/coffer"
)

const (
	// prepareBytes is what the tool writes beside the data while it prepares: a new
	// redo log and undo, InnoDB's defaults rounded up.
	prepareBytes = 128 << 20
	// longChain is a length from which a restore takes noticeably longer.
	longChain = 30
	// guess is how many plain bytes a stored byte stands for, where no size of the
	// stream is known.
	guess = 4
)

// HostFacts is what the host of a restore says of itself.
type HostFacts struct {
	Agent coffer.AgentID
	Dir   string
	Free  int64             // bytes
	Tools map[string]string // name → path and version
	Stops []string          // why it cannot, in its own words
	// Of one table alone: stored bytes that are read, and space that is needed.
	Read, Need int64
}

// Step is one backup of the chain as a restore takes it.
type Step struct {
	Backup        coffer.BackupID
	Name          string
	Type          string
	Stored, Plain int64 // bytes
	Position      coffer.Position
	Encrypted     bool
}

// RestorePlan is what a restore would do. It can be carried out if Stops is empty.
type RestorePlan struct {
	Chain     []Step // the full first
	ReadBytes int64  // out of the store
	NeedBytes int64  // of space, at the worst moment
	FreeBytes int64
	Method    coffer.Way
	Reason    string // why so; "" where there is no choice
	Agent     coffer.AgentID
	Dir       string
	Tools     map[string]string
	Stops     []string
	Warnings  []string
}

// Way says how the chain (the full first) is to be restored, and why so; want is
// the way that was asked for, "" is none. The error says that it cannot be done so,
// and its hint what to do.
func Way(chain []coffer.Backup, want coffer.Way) (way coffer.Way, reason string, err error) {
	positions := make([]coffer.Position, len(chain))
	for i, b := range chain {
		positions[i] = b.Position
	}
	return coffer.ChooseWay(positions, want)
}

// Need is the space in bytes that a restore of the chain (the full first) takes at
// its worst moment. Step by step that is the full and a tenth for what it grows by,
// and the largest increment. Merged it is the files of the last backup: no more
// than the full and what came to it. To both comes what the tool writes while it
// prepares.
func Need(chain []coffer.Sizes, way coffer.Way) int64 {
	var full, largest, all int64
	for i, s := range chain {
		n := plainOf(s)
		all = add(all, n)
		if i == 0 {
			full = n
			continue
		}
		largest = max(largest, n)
	}
	if way == coffer.Merged {
		out := all
		if used := chain[len(chain)-1].Data; used > 0 {
			out = max(full, min(all, used))
		}
		return add(out, prepareBytes)
	}
	return add(add(full, full/10), add(largest, prepareBytes))
}

// NeedOf is [Need] for the way in which the chain would be restored.
func NeedOf(chain []coffer.Backup, want coffer.Way) int64 {
	way, _, _ := Way(chain, want) // what cannot be done needs no exact number
	sizes := make([]coffer.Sizes, len(chain))
	for i, b := range chain {
		sizes[i] = b.Sizes
	}
	return Need(sizes, way)
}

// plainOf is the size of the stream, or a guess that is rather too large.
func plainOf(s coffer.Sizes) int64 {
	switch {
	case s.Plain > 0:
		return s.Plain
	case s.Stored > math.MaxInt64/guess:
		return math.MaxInt64
	}
	return max(s.Data, s.Stored*guess, 0)
}

// add is a + b without wrapping.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Restore says what a restore of the chain's last link on the host would do; want
// is the way that was asked for, "" is none.
func Restore(chain []coffer.Backup, host HostFacts, want coffer.Way) RestorePlan {
	p := RestorePlan{
		FreeBytes: host.Free, Agent: host.Agent, Dir: host.Dir, Tools: host.Tools,
		Stops: append([]string(nil), host.Stops...),
	}
	for _, b := range chain {
		p.Chain = append(p.Chain, Step{
			Backup: b.ID, Name: b.Name, Type: b.Type, Stored: b.Sizes.Stored, Plain: b.Sizes.Plain,
			Position: b.Position, Encrypted: b.Key != "",
		})
		p.ReadBytes = add(p.ReadBytes, b.Sizes.Stored)
	}
	if err := coffer.CheckChain(chain); err != nil {
		p.Stops = append(p.Stops, err.Error())
	}
	var err error
	if p.Method, p.Reason, err = Way(chain, want); err != nil {
		p.Stops = append(p.Stops, err.Error()+"; "+coffer.HintOf(err))
	}
	if len(chain) == 0 {
		return p
	}
	p.NeedBytes = NeedOf(chain, want)
	if host.Agent != "" && host.Free < p.NeedBytes {
		p.Stops = append(p.Stops, fmt.Sprintf("%s has %d bytes free and the restore needs %d", host.Dir, host.Free, p.NeedBytes))
	}
	for _, b := range chain {
		if b.Datastore.Type != chain[0].Datastore.Type {
			p.Stops = append(p.Stops, fmt.Sprintf("backup %s is of %s, the full is of %s", b.ID, b.Datastore.Type, chain[0].Datastore.Type))
		}
	}
	p.Warnings = warnings(chain)
	return p
}

func warnings(chain []coffer.Backup) (out []string) {
	var open, unsized int
	for _, b := range chain {
		if b.Key == "" {
			open++
		}
		if b.Sizes.Plain == 0 {
			unsized++
		}
		if !b.Verified.At.IsZero() && !b.Verified.OK {
			out = append(out, fmt.Sprintf("backup %s did not pass its last verify: %s", b.ID, b.Verified.Text))
		}
		if b.Datastore.Version != chain[0].Datastore.Version {
			out = append(out, fmt.Sprintf("backup %s is of version %s, the full is of %s", b.ID, b.Datastore.Version, chain[0].Datastore.Version))
		}
	}
	if open > 0 {
		out = append(out, fmt.Sprintf("%d of %d backups are stored unencrypted", open, len(chain)))
	}
	if unsized > 0 {
		out = append(out, fmt.Sprintf("the size of %d of %d backups is not known: the space needed is a guess", unsized, len(chain)))
	}
	if len(chain) > longChain {
		out = append(out, fmt.Sprintf("the chain has %d links: a new full backup would be restored sooner", len(chain)))
	}
	return out
}
