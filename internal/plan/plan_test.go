package plan_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/plan"
)

var update = flag.Bool("update", false, "write what the scenarios say now into testdata")

// TestScenarios runs testdata/*.txt. A file is blocks of commands, each followed
// by a line of dashes and what is expected.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if d := gocmp.Diff(string(text), got); d != "" {
				t.Errorf("%s differs (-want +got):\n%s", file, d)
			}
		})
	}
}

// replay gives the file again with what its commands print now.
func replay(t *testing.T, text string) string {
	var out strings.Builder
	s := &scene{t: t}
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		input, _, asks := strings.Cut(block, "\n----\n")
		input, bare := strings.CutSuffix(input, "\n----")
		asks = asks || bare
		said := ""
		for line := range strings.SplitSeq(input, "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				said += s.do(line)
			}
		}
		out.WriteString(input + "\n")
		if asks || said != "" {
			out.WriteString("----\n" + said)
		}
	}
	return out.String()
}

// scene is the facts that a file has set.
type scene struct {
	t       *testing.T
	backups []coffer.Backup
	agents  []plan.Candidate
	host    plan.HostFacts
}

func (s *scene) do(line string) string {
	words := strings.Fields(line)
	opt := map[string]string{}
	var names []string
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			opt[k] = v
		} else {
			names = append(names, w)
		}
	}
	has := func(name string) bool {
		for _, n := range names {
			if n == name {
				return true
			}
		}
		return false
	}
	switch words[0] {
	case "backup":
		s.backups = append(s.backups, s.backup(names[0], opt, has))
	case "agent":
		s.agents = append(s.agents, plan.Candidate{
			Agent:   coffer.Agent{ID: coffer.AgentID(names[0]), Host: has("host"), Free: s.bytes(opt["free"]), DataDir: "/srv"},
			Silent:  s.duration(opt["silent"]),
			Running: s.number(opt["running"]), Lacks: opt["lacks"],
		})
	case "host":
		s.host = plan.HostFacts{Agent: "h", Dir: "/srv", Free: s.bytes(opt["free"])}
		if why := opt["stop"]; why != "" {
			s.host.Stops = []string{why}
		}
	case "reset":
		*s = scene{t: s.t}
	case "restore":
		return printRestore(plan.Restore(s.chain(names), s.host, coffer.Way(opt["method"])))
	case "delete":
		return s.delete(names[0], has("force"))
	case "place":
		return printPlace(plan.Place(s.agents, plan.Wish{
			Need: s.bytes(opt["need"]), Agent: coffer.AgentID(opt["want"]), Files: has("files"), Cap: s.number(opt["cap"]),
		}))
	case "retain":
		return "goes " + join(plan.Retain(s.backups, s.number(opt["keep"]))) + "\n"
	default:
		s.t.Fatalf("no command %q", line)
	}
	return ""
}

func (s *scene) backup(id string, opt map[string]string, has func(string) bool) coffer.Backup {
	b := coffer.Backup{
		ID: coffer.BackupID(id), Name: "n-" + id, Project: coffer.ProjectID(opt["project"]), Parent: coffer.BackupID(opt["parent"]),
		State: coffer.Completed, Type: "full", Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"},
		Key: coffer.KeyID(opt["key"]), Pins: s.number(opt["pins"]), Deleting: has("deleting"), Deleted: has("deleted"),
		Sizes:   coffer.Sizes{Data: s.bytes(opt["data"]), Plain: s.bytes(opt["plain"]), Stored: s.bytes(opt["stored"])},
		Created: time.Unix(int64(len(s.backups)), 0),
	}
	b.Position = coffer.Position{
		From: uint64(s.number(opt["from"])), RedoStart: uint64(s.number(opt["redo"])), To: uint64(s.number(opt["to"])), PageLists: has("lists"),
		PageSize: cmp.Or(s.number(opt["page"]), 16384), UndoSpaces: cmp.Or(s.number(opt["undo"]), 3), MergeOnly: opt["merge-only"],
		DataFilePath: cmp.Or(opt["files"], "ibdata1:12M"), ServerVersion: cmp.Or(opt["server"], "10.11.19-MariaDB"),
	}
	if v := opt["state"]; v != "" {
		b.State = coffer.State(v)
	}
	if v := opt["version"]; v != "" {
		b.Datastore.Version = v
	}
	if v := opt["type"]; v != "" {
		b.Datastore.Type = v
	}
	if v := opt["verify"]; v != "" {
		b.Verified = coffer.Verdict{At: b.Created.Add(time.Second), OK: v == "ok", Text: v}
	}
	for _, p := range s.backups {
		if p.ID == b.Parent {
			b.Depth, b.Type = p.Depth+1, "incremental"
		}
	}
	return b
}

func (s *scene) chain(ids []string) (out []coffer.Backup) {
	for _, id := range ids {
		for _, b := range s.backups {
			if string(b.ID) == id {
				out = append(out, b)
			}
		}
	}
	return out
}

func (s *scene) delete(id string, force bool) string {
	under := map[coffer.BackupID]bool{coffer.BackupID(id): true}
	var descendants []coffer.Backup
	for _, b := range s.backups {
		if under[b.Parent] {
			under[b.ID] = true
			descendants = append(descendants, b)
		}
	}
	p := plan.Delete(s.chain([]string{id})[0], descendants, force)
	var ids []coffer.BackupID
	for _, b := range p.Delete {
		ids = append(ids, b.ID)
	}
	if p.Refused != "" {
		return "refused: " + p.Refused + "\n"
	}
	return "goes " + join(ids) + "\n"
}

func printRestore(p plan.RestorePlan) string {
	var b strings.Builder
	for _, s := range p.Chain {
		fmt.Fprintf(&b, "%s %s %s stored=%d plain=%d encrypted=%v\n", s.Type, s.Backup, s.Name, s.Stored, s.Plain, s.Encrypted)
	}
	fmt.Fprintf(&b, "read=%d need=%d free=%d %s on %s in %s\n", p.ReadBytes, p.NeedBytes, p.FreeBytes, p.Method, p.Agent, p.Dir)
	if p.Reason != "" {
		fmt.Fprintf(&b, "because %s\n", p.Reason)
	}
	for _, s := range p.Stops {
		fmt.Fprintf(&b, "stop: %s\n", s)
	}
	for _, s := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", s)
	}
	return b.String()
}

func printPlace(p plan.Placement, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "%s: %v (%s)\n", coffer.KindOf(err), err, coffer.HintOf(err))
	} else {
		fmt.Fprintf(&b, "%s: %s\n", p.Agent, p.Why)
	}
	for _, c := range p.Considered {
		if c.Reason != "" {
			fmt.Fprintf(&b, "not %s: %s\n", c.Agent, c.Reason)
		}
	}
	return b.String()
}

func join(ids []coffer.BackupID) string {
	if len(ids) == 0 {
		return "nothing"
	}
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = string(id)
	}
	return strings.Join(words, " ")
}

func (s *scene) number(v string) int {
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *scene) bytes(v string) int64 {
	unit := int64(1)
	for suffix, n := range map[string]int64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30} {
		if rest, ok := strings.CutSuffix(v, suffix); ok {
			v, unit = rest, n
		}
	}
	return int64(s.number(v)) * unit
}

func (s *scene) duration(v string) time.Duration {
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}
