package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdb/coffer/internal/config"
)

// many is a configuration of a role on many machines that has no problem.
const many = `
[api]
listen = "0.0.0.0:8779"
cert_file = "DIR/crt"
key_file = "DIR/secret"
tokens_file = "DIR/secret"
[bus]
kind = "amqp"
hosts = ["rabbit.example"]
user = "coffer"
password_file = "DIR/secret"
[keys]
signing_key_file = "DIR/secret"
verify_key_file = "DIR/crt"
[records]
url = "postgres://coffer@db.example/coffer"
password_file = "DIR/secret"
[stores.default]
kind = "file"
path = "DIR"
`

// Each line that is added or changed makes exactly one problem, at its key.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"crt": 0o644, "secret": 0o600, "open": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		old, new string
		role     config.Role
		want     string // "key: a part of the text"; "" is no problem
	}{
		"nothing":                {"", "", config.Everything, ""},
		"as an agent":            {"", "", config.RoleAgent, ""},
		"plain API":              {`cert_file = "DIR/crt"` + "\n" + `key_file = "DIR/secret"`, "", config.RoleAPI, "api.listen: plaintext"},
		"plain API, meant":       {`cert_file = "DIR/crt"` + "\n" + `key_file = "DIR/secret"`, "insecure = true", config.RoleAPI, ""},
		"key without cert":       {`cert_file = "DIR/crt"`, "", config.RoleAPI, "api.cert_file: go together"},
		"key for all":            {`key_file = "DIR/secret"`, `key_file = "DIR/open"`, config.RoleAPI, "api.key_file: read by others"},
		"no tokens":              {`tokens_file = "DIR/secret"`, "", config.RoleAPI, "api.tokens_file: nobody"},
		"no address":             {`listen = "0.0.0.0:8779"`, `listen = "8779"`, config.RoleAPI, "api.listen: no address"},
		"no bus":                 {`kind = "amqp"`, "", config.RoleTasks, "bus.kind: RabbitMQ"},
		"another bus":            {`kind = "amqp"`, `kind = "kafka"`, config.Everything, "bus.kind: there is no bus"},
		"no broker":              {`hosts = ["rabbit.example"]`, "", config.RoleTasks, "bus.hosts: no broker"},
		"no account":             {`user = "coffer"` + "\n" + `password_file`, "ca_file", config.RoleTasks, "bus.user: no account"},
		"insecure and TLS":       {`user = "coffer"`, "user = \"coffer\"\ninsecure = true\nca_file = \"DIR/crt\"", config.RoleTasks, "bus.insecure: remove"},
		"no CA":                  {`user = "coffer"`, "user = \"coffer\"\nca_file = \"DIR/none\"", config.RoleTasks, "bus.ca_file: there is no"},
		"Trove without a key":    {`user = "coffer"`, "user = \"coffer\"\ntrove_instance = \"x\"", config.RoleTasks, "bus.trove_instance: no key"},
		"Trove's keys":           {`user = "coffer"`, "user = \"coffer\"\ntrove_instance_keys_file = \"DIR/secret\"", config.RoleTasks, "bus.trove_instance_keys_file: not an instance"},
		"password in the URL":    {"postgres://coffer@", "postgres://coffer:geheim@", config.RoleConductor, "records.url: password"},
		"plain records":          {"example/coffer", "example/coffer?sslmode=disable", config.RoleConductor, "records.url: options"},
		"records without a user": {"coffer@db", "db", config.RoleConductor, "records.url: no user"},
		"records elsewhere":      {"postgres://", "oracle://", config.RoleConductor, "records.url: no records on"},
		"no database":            {"db.example/coffer", "db.example", config.RoleConductor, "records.url: no database"},
		"no records":             {`url = "postgres://coffer@db.example/coffer"`, "", config.RoleConductor, "records.url: share"},
		"an agent needs none":    {`url = "postgres://coffer@db.example/coffer"`, "", config.RoleAgent, ""},
		"no folder":              {`path = "DIR"`, `path = "DIR/none"`, config.RoleAgent, "stores.default.path: no folder"},
		"a store's kind":         {`kind = "file"`, `kind = "ftp"`, config.RoleAgent, "stores.default.kind: no store of kind"},
		"no stores":              {"[stores.default]\nkind = \"file\"\npath = \"DIR\"", "", config.RoleAgent, "stores: none"},
		"which store":            {"[stores.default]", "[stores.b]\nkind=\"file\"\npath=\"DIR\"\n[stores.default]", config.RoleAPI, "api.default_store: takes new backups"},
		"no such store":          {`listen = "0`, "default_store = \"x\"\nlisten = \"0", config.RoleAPI, "api.default_store: there is no [stores.x]"},
		"a small spool":          {"[bus]", "[agent]\nspool_bytes = 5\n[bus]", config.RoleAgent, "agent.spool_bytes: less"},
		"a relative state":       {"[bus]", "[agent]\nstate = \"x\"\n[bus]", config.RoleAgent, "agent.state: absolute"},
		"workers":                {"[bus]", "[conductor]\nworkers = 0\n[bus]", config.RoleConductor, "conductor.workers: within"},
		"a negative cap":         {"[bus]", "[taskmanager]\nmax_jobs = -1\n[bus]", config.RoleTasks, "taskmanager.max_jobs: below"},
		"a level":                {"[bus]", "[log]\nlevel = \"loud\"\n[bus]", config.RoleTasks, "log.level: no level"},
		"no identity":            {"[keys]", "[keys]\nidentity_file = \"DIR/none\"", config.RoleTasks, "keys.identity_file: there is no"},
		"the API needs none":     {"[keys]", "[keys]\nidentity_file = \"DIR/none\"", config.RoleAPI, ""},
		"recipients twice":       {"[keys]", "[keys]\nrecipients = [\"age1\"]\nrecipients_file = \"DIR/crt\"", config.RoleTasks, "keys.recipients: remove"},
		"nothing signs":          {`signing_key_file = "DIR/secret"`, "", config.RoleTasks, "keys.signing_key_file: not signed"},
		"nothing vouches":        {`verify_key_file = "DIR/crt"`, "", config.RoleAgent, "keys.verify_key_file: nothing proves"},
		"all are trusted":        {"user = \"coffer\"\npassword_file = \"DIR/secret\"\n[keys]\nsigning_key_file = \"DIR/secret\"", "trusted = true\nuser = \"coffer\"\npassword_file = \"DIR/secret\"\n[keys]", config.RoleTasks, ""},
		"no proof in a server":   {"", "", config.RoleServer, "server.agent: no account of its own"},
		"plain management":       {"[bus]", "[enrol]\nurl = \"https://a\"\nmanagement_url = \"http://rabbit:15672\"\n[bus]", config.RoleConductor, "enrol.management_url: plaintext"},
		"no management":          {"[bus]", "[enrol]\nurl = \"https://a\"\nmanagement_url = \"rabbit\"\n[bus]", config.RoleConductor, "enrol.management_url: no URL"},
		"agents cannot find it":  {"[bus]", "[enrol]\nmanagement_url = \"https://rabbit:15671\"\n[bus]", config.RoleAPI, "enrol.url: not told"},
		"a file and a server":    {"[records]", "[records]\npath = \"/x\"", config.RoleTasks, "records.url: both"},
		"insecure, plain, meant": {`user = "coffer"`, "user = \"coffer\"\ninsecure = true", config.RoleTasks, ""},
	} {
		body := strings.ReplaceAll(strings.Replace(many, c.old, c.new, 1), "DIR", dir)
		if !strings.Contains(many, c.old) {
			t.Fatalf("%s: no %q", name, c.old)
		}
		cfg, err := config.Load(write(t, "coffer.toml", body, 0o644), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := cfg.Check(c.role)
		key, text, _ := strings.Cut(c.want, ": ")
		switch {
		case c.want == "" && len(got) == 0:
		case len(got) != 1 || got[0].Key != key || !strings.Contains(got[0].String(), text):
			t.Errorf("%s: want %q, got %v", name, c.want, got)
		case strings.Contains(fmt.Sprint(got), "geheim"):
			t.Errorf("%s: a secret is told", name)
		}
	}
}

// TLS is spoken off this machine, and on it where somebody asks for it.
func TestTLS(t *testing.T) {
	t.Parallel()
	for hosts, want := range map[string]bool{
		`["127.0.0.1:5672"]`: false, `["localhost", "[::1]:1"]`: false, `["rabbit"]`: true, `["127.0.0.1", "10.0.0.1:5671"]`: true,
		"[]\ntls = true": true, "[\"rabbit\"]\ninsecure = true": false,
	} {
		c, problems := load(t, "[bus]\nhosts = "+hosts)
		if _, on := c.BusTLS(); on != want || len(problems) > 0 {
			t.Errorf("%s: %v, %v", hosts, on, problems)
		}
	}
	for url, want := range map[string]bool{
		"postgres://u@127.0.0.1:5/d": false, "mysql://u@db:3306/d": true,
		"postgres://a,127.0.0.1/d": true, "postgres://u@[::1]:5/d": false,
	} {
		c, _ := load(t, fmt.Sprintf("[records]\nurl = %q", url))
		if _, on := c.RecordsTLS(); on != want {
			t.Errorf("%s: %v", url, on)
		}
	}
	c, _ := load(t, "[tls]\nca_file = \"/ca\"\ncert_file = \"/c\"\nkey_file = \"/k\"\n[api]\nlisten = \":1\"\n[bus]\nhosts = [\"r\"]")
	if f, on := c.APITLS(); !on || f.CertFile != "/c" {
		t.Errorf("the API takes no certificate of [tls]: %+v", f)
	}
	if f, _ := c.BusTLS(); f.CAFile != "/ca" || f.CertFile != "" {
		t.Errorf("the bus takes no CA of [tls]: %+v", f)
	}
}
