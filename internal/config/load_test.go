package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/packaging"
)

func write(t *testing.T, name, body string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(body), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, body string, env ...string) (config.Config, []config.Problem) {
	t.Helper()
	c, err := config.Load(write(t, "coffer.toml", body, 0o644), env)
	return c, config.ProblemsOf(err)
}

var unexported = cmpopts.IgnoreUnexported(config.Config{})

var secrets = cmp.Transformer("reveal", func(s config.Secret) string { return s.Reveal() })

// The example is the default: it changes nothing, has no problem, and with every
// line in force it names every key that there is.
func TestExample(t *testing.T) {
	t.Parallel()
	c, problems := load(t, packaging.Example)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	c.File = ""
	if diff := cmp.Diff(config.Default(), c, unexported, secrets); diff != "" {
		t.Errorf("the example is not the default:\n%s", diff)
	}
	live := regexp.MustCompile(`(?m)^# ((\[stores|[a-z_]+ = ).*)$`).ReplaceAllString(packaging.Example, "$1")
	c, problems = load(t, live)
	for _, p := range problems {
		if !strings.HasSuffix(p.Key, "_file") {
			t.Error(p)
		}
	}
	for _, key := range config.AllKeys() {
		if !regexp.MustCompile(`(?m)^` + key[strings.LastIndexByte(key, '.')+1:] + ` = `).MatchString(live) {
			t.Errorf("the example does not tell of %s", key)
		}
	}
	d := config.Default()
	if c.Agent.SpoolBytes != d.Agent.SpoolBytes || c.API.Quota != d.API.Quota || c.Bus.Exchange != d.Bus.Exchange ||
		c.TaskManager != d.TaskManager || c.Conductor != d.Conductor || c.Log != d.Log || c.API.Drain != d.API.Drain ||
		c.Agent.MaxBlock != d.Agent.MaxBlock || c.Agent.StopWait != d.Agent.StopWait || c.Records.MaxConns != d.Records.MaxConns {
		t.Errorf("the example tells other defaults: %+v", c)
	}
}

// Every problem of a file is said at once, with its line and what was meant.
func TestProblems(t *testing.T) {
	t.Parallel()
	_, problems := load(t, `
[bus]
hots = ["a"]
password = "x"
tls = "yes"
[recrods]
url = "x"
[agent]
spool_bytes = "1 MB"
stop_wait = 5
exchange = "e"
[stores.a]
kind = "file"
pth = "/x"
[stores]
b = 1
`, "COFFER_BUS_HOTS=a", "COFFER_API_QUOTA=many", "COFFER_STORES_A=1", "COFFER_STATE=/s", "COFFER_HEAVY=1", "HOME=/")
	got := map[string]string{}
	for _, p := range problems {
		got[fmt.Sprintf("%d %s", p.Line, p.Key)] = p.Text + "; " + p.Hint
	}
	want := map[string]string{
		"3 bus.hots":          "there is no such key; did you mean hosts?",
		"4 bus.password":      "a secret does not stand in this file; put it into a file of mode 0600 and name that: password_file",
		"5 bus.tls":           "it wants true or false, without quotes; ",
		"6 recrods":           "there is no such section or key; did you mean [records]?",
		"9 agent.spool_bytes": `"1 MB" is no size; it looks like 268435456 or "256 MiB"; `,
		"10 agent.stop_wait":  `it wants a time such as "10s", "5m" or "24h"; `,
		"11 agent.exchange":   "there is no such key; did you mean exchange in [bus]?",
		"14 stores.a.pth":     "there is no such key; did you mean path?",
		"16 stores.b":         "it is a table; write [stores.NAME] and its keys below",
		"0 COFFER_BUS_HOTS":   "the environment names a key that there is not; did you mean COFFER_BUS_HOSTS?",
		"0 COFFER_API_QUOTA":  "it wants a whole number, without quotes; ",
		"0 COFFER_STORES_A":   "the environment names no key of a store; it looks like COFFER_STORES_DEFAULT_PATH",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNotTOML(t *testing.T) {
	t.Parallel()
	_, problems := load(t, "[api]\nlisten = 127.0.0.1:1\n")
	if len(problems) != 1 || problems[0].Line != 2 {
		t.Errorf("got %v", problems)
	}
	if _, err := config.Load(filepath.Join(t.TempDir(), "none"), nil); !coffer.IsKind(err, coffer.KindNotFound) || coffer.HintOf(err) == "" {
		t.Errorf("no file: %v", err)
	}
}

// The environment wins over the file, which wins over the defaults.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	c, problems := load(t, `
[api]
quota = 7
region = "one"
[stores.cold-store]
kind = "file"
path = "/a"
`, "COFFER_API_REGION=two", "COFFER_BUS_HOSTS=a:1, b:2", "COFFER_AGENT_STOP_WAIT=3m", "COFFER_AGENT_HOST=false",
		"COFFER_AGENT_SPOOL_BYTES=8 MiB", "COFFER_STORES_COLD_STORE_PATH=/b", "COFFER_STORES_NEW_KIND=file", "COFFER_BUS_PASSWORD=geheim")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := config.Default()
	want.API.Quota, want.API.Region = 7, "two"
	want.Bus.Hosts, want.Bus.Password = []string{"a:1", "b:2"}, config.NewSecret("geheim")
	want.Agent.StopWait, want.Agent.Host, want.Agent.SpoolBytes = 3*time.Minute, false, 8<<20
	want.Stores = map[string]config.Store{"cold-store": {Kind: "file", Path: "/b"}, "new": {Kind: "file"}}
	c.File = ""
	if diff := cmp.Diff(want, c, unexported, secrets); diff != "" {
		t.Error(diff)
	}
	if text := fmt.Sprintf("%v %+v %#v", c.Bus, c.Bus, c.Bus); strings.Contains(text, "geheim") {
		t.Error("a secret is printed")
	}
}

// A secret's file is its owner's alone.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	good := write(t, "good", "geheim\n", 0o600)
	c, problems := load(t, fmt.Sprintf("[bus]\npassword_file = %q", good))
	if len(problems) > 0 || c.Bus.Password.Reveal() != "geheim" {
		t.Errorf("got %q, %v", c.Bus.Password.Reveal(), problems)
	}
	for path, want := range map[string]string{
		write(t, "open", "geheim", 0o640):                   "can be read by others",
		write(t, "empty", "\n", 0o600):                      "is empty",
		filepath.Join(t.TempDir(), "none"):                  "there is no",
		t.TempDir():                                         "is no file",
		write(t, "long", strings.Repeat("x", 2<<20), 0o600): "too long",
	} {
		_, problems := load(t, fmt.Sprintf("[bus]\npassword_file = %q", path))
		if len(problems) != 1 || !strings.Contains(problems[0].Text, want) || problems[0].Line != 2 || strings.Contains(fmt.Sprint(problems), "geheim") {
			t.Errorf("%s: %v", want, problems)
		}
	}
	c, problems = load(t, fmt.Sprintf("[bus]\npassword_file = %q", good), "COFFER_BUS_PASSWORD=other")
	if len(problems) > 0 || c.Bus.Password.Reveal() != "other" {
		t.Errorf("the environment does not win: %q, %v", c.Bus.Password.Reveal(), problems)
	}
}

// A process can tell which variables its children must not see.
func TestSecretVariables(t *testing.T) {
	t.Parallel()
	got := config.SecretVariables([]string{
		"COFFER_BUS_PASSWORD=x", "COFFER_BUS_PASSWORD_FILE=/x", "COFFER_BUS_HOSTS=h", "COFFER_RECORDS_PASSWORD=y",
		"COFFER_ENROL_MANAGEMENT_PASSWORD=z", "COFFER_STORES_A_KIND=file", "BUS_PASSWORD=x", "HOME=/", "COFFER_X",
	})
	if diff := cmp.Diff([]string{"COFFER_BUS_PASSWORD", "COFFER_RECORDS_PASSWORD", "COFFER_ENROL_MANAGEMENT_PASSWORD"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{"0": 0, "17": 17, "1B": 1, "3 KiB": 3072, "256MiB": 256 << 20, "2 TiB": 2 << 40} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "9999999999 TiB", "1 mb"} {
		if _, err := config.ParseSize(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

// What the operators' page shows is understood, and wants nothing but its files.
func TestOperatorsPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operators/README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```toml\n(.*?)```").FindStringSubmatch(string(page))
	if m == nil {
		t.Fatal("the page shows no configuration")
	}
	c, problems := load(t, m[1])
	for _, role := range []config.Role{config.RoleAPI, config.RoleTasks, config.RoleConductor} {
		problems = append(problems, c.Check(role)...)
	}
	for _, p := range problems {
		if !strings.Contains(p.Text, "there is no /") && !strings.HasPrefix(p.Text, "there is no folder") && p.Key != "bus.user" {
			t.Error(p)
		}
	}
}
