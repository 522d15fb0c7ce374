package coffer_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cofferdb/coffer"

// The rules of who may import whom: for each package the packages of ours that it
// may use. They keep the layout true: a role never knows another role, an adapter
// knows its idea and never another adapter, an idea knows the nouns. A package
// that is not named here may use the root only. cmd and test-only packages may
// use everything.
var mayImport = map[string]string{
	"client": ". rest trove",
	"rest":   ".",
	"trove":  "",

	// roles
	"internal/api":         ". trove rest internal/auth internal/bus internal/message internal/plan internal/records",
	"internal/taskmanager": ". internal/archive internal/bus internal/engine internal/layers internal/message internal/plan internal/records internal/settle internal/retry internal/stored internal/trovestore",
	"internal/conductor":   ". internal/bus internal/message internal/records internal/settle",
	"internal/agent":       ". internal/archive internal/bus internal/codec internal/engine internal/host internal/message internal/plan internal/retry internal/store internal/stored internal/trovestore",

	// a role's two halves on Trove's own protocol
	"internal/trovelink": ". internal/bus internal/codec internal/engine internal/message internal/records internal/retry",

	// ideas that stand on others
	"internal/settle":     ". internal/archive internal/records internal/retry internal/store",
	"internal/catalogue":  ". internal/archive internal/retry internal/store",
	"internal/trovedb":    ". internal/records internal/trovestore",
	"internal/trovestore": ". internal/engine internal/store xbstream",
	"internal/keyring":    ". internal/archive internal/codec internal/retry internal/store",
	"internal/archive":    ". internal/codec internal/retry internal/store",
	"internal/store":      ". internal/retry",
	"internal/message":    ". internal/bus",
	"internal/sign":       ". internal/bus",
	"internal/guard":      ". internal/child",
	"internal/testenv":    ". internal/child",

	"internal/enrol":  ". client rest internal/bus internal/message internal/pki internal/records internal/sign",
	"internal/config": ". internal/engine",

	"internal/layers": ". internal/engine xbstream",
	"internal/stored": ". internal/archive internal/engine",

	// adapters
	"internal/store/file":     ". internal/retry internal/store",
	"internal/store/accounts": ". internal/store",
	"internal/store/s3":       ". internal/store internal/store/remote",
	"internal/store/remote":   ". internal/store",
	"internal/store/swift":    ". internal/retry internal/store internal/store/remote",
	"internal/bus/local":      ". internal/bus",
	"internal/bus/amqp":       ". internal/bus internal/retry",
	"internal/bus/unix":       ". internal/bus internal/retry",
	"internal/engine/mysql":   ". internal/child internal/engine internal/guard internal/layers internal/spool xbstream",

	// laws
	"internal/store/storetest":     ". internal/store internal/retry",
	"internal/archive/archivetest": ". internal/archive internal/retry internal/store internal/store/storetest internal/testenv",
	"internal/bus/bustest":         ". internal/bus",
	"internal/engine/enginetest":   ". internal/engine internal/workload",
	"internal/records/recordstest": ". internal/records",
}

// free are the packages without rules.
var free = []string{"cmd/coffer", "internal/bench", "internal/chaos", "internal/e2e", "internal/model", "internal/survive"}

func TestImports(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := short(words[0])
		seen[name] = true
		if slices.Contains(free, name) {
			continue
		}
		allowed := strings.Fields(".")
		if rule, ok := mayImport[name]; ok {
			allowed = strings.Fields(rule)
		}
		for _, w := range words[1:] {
			if w != module && !strings.HasPrefix(w, module+"/") {
				if name == "." && strings.Contains(w, ".") {
					t.Errorf("the root package imports %s: it may use the standard library only", w)
				}
				continue
			}
			if !slices.Contains(allowed, short(w)) {
				t.Errorf("%s imports %s; it may use: %s", name, short(w), strings.Join(allowed, " "))
			}
		}
	}
	for name := range mayImport {
		if !seen[name] {
			t.Errorf("a rule names %s, which is no package", name)
		}
	}
}

func short(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}
