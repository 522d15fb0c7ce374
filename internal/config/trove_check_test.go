package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
)

// underTrove is the configuration of a guest agent that has no problem.
const underTrove = `
[agent]
profile = "trove"
database = "/run/mysqld/mysqld.sock"
credentials_file = "DIR/secret"
[bus]
kind = "amqp"
hosts = ["rabbit.example"]
user = "trove"
password_file = "DIR/secret"
exchange = "openstack"
trusted = true
trove_instance = "11111111-0000-4000-8000-000000000001"
trove_instance_keys_file = "DIR/keys"
`

// overTrove is that of a control plane over Trove's guests.
const overTrove = `
[api]
tokens_file = "DIR/secret"
[trove]
guests = true
auth_url = "https://keystone.example:5000/v3"
user = "coffer"
password_file = "DIR/secret"
[bus]
kind = "amqp"
hosts = ["rabbit.example"]
user = "coffer"
password_file = "DIR/secret"
exchange = "openstack"
trusted = true
trove_instance_keys_file = "DIR/keys"
[records]
url = "postgres://coffer@db.example/coffer"
password_file = "DIR/secret"
[stores.default]
kind = "file"
path = "DIR"
`

// Each line that is added or changed makes exactly one problem, at its key, and the
// problem says what to do.
func TestCheckTrove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, body := range map[string]string{
		"secret": "x", "open": "x",
		"keys": "11111111-0000-4000-8000-000000000001\tk1\n22222222-0000-4000-8000-000000000002 k2\n",
	} {
		mode := os.FileMode(0o600)
		if name == "open" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		body, old, new string
		role           config.Role
		want           string // "key: a part of the text"; "" is no problem
	}{
		"a guest":              {underTrove, "", "", config.RoleAgent, ""},
		"and no role":          {underTrove, "", "", config.Everything, ""},
		"RPC in clear":         {underTrove, `trove_instance_keys_file = "DIR/keys"`, "", config.RoleAgent, ""},
		"by TCP, as root":      {underTrove, `database = "/run/mysqld/mysqld.sock"` + "\n" + `credentials_file = "DIR/secret"`, `database = "127.0.0.1:3306"`, config.RoleAgent, ""},
		"another's method":     {underTrove, "[agent]", "[agent]\nbackup_strategy = [\"mysql=MySQLDump\"]", config.RoleAgent, ""},
		"no such profile":      {underTrove, `profile = "trove"`, `profile = "nova"`, config.Everything, "agent.profile: no profile"},
		"an API of it":         {underTrove, "[agent]", "[api]\ntokens_file = \"DIR/secret\"\n[records]\nurl = \"postgres://u@db.example/c\"\n[stores.s]\nkind = \"file\"\npath = \"DIR\"\n[agent]", config.RoleAPI, "agent.profile: run only coffer agent"},
		"a conductor of it":    {underTrove, "[agent]", "[records]\nurl = \"postgres://u@db.example/c\"\n[stores.s]\nkind = \"file\"\npath = \"DIR\"\n[agent]", config.RoleConductor, "agent.profile: run only coffer agent"},
		"a server of it":       {underTrove, "[agent]", "[server]\nagent = false\n[agent]", config.RoleServer, "agent.profile: run only coffer agent"},
		"guests of a guest":    {underTrove, "[agent]", "[trove]\nguests = true\n[agent]", config.RoleAgent, "trove.guests: guests are a control plane's"},
		"no broker":            {underTrove, `kind = "amqp"`, "", config.RoleAgent, "bus.kind: RabbitMQ"},
		"no broker, no role":   {underTrove, `kind = "amqp"`, "", config.Everything, "bus.kind: RabbitMQ"},
		"whose guest":          {underTrove, `trove_instance = "11111111-0000-4000-8000-000000000001"`, "", config.RoleAgent, "bus.trove_instance: guest_id of"},
		"a name for an id":     {underTrove, `trove_instance = "11111111-0000-4000-8000-000000000001"` + "\n" + `trove_instance_keys_file = "DIR/keys"`, `trove_instance = "db"`, config.RoleAgent, "bus.trove_instance: no instance's id"},
		"no key of its own":    {underTrove, `trove_instance = "11111111`, `trove_instance = "33333333`, config.RoleAgent, "bus.trove_instance: there is no key"},
		"not believed":         {underTrove, "trusted = true", "", config.RoleAgent, "bus.trusted: set trusted = true"},
		"whose exchange":       {underTrove, `exchange = "openstack"`, "", config.RoleAgent, "bus.exchange: control_exchange"},
		"that very exchange":   {underTrove, `exchange = "openstack"`, `exchange = "coffer"`, config.RoleAgent, ""},
		"verbs are not signed": {underTrove, "[bus]", "[keys]\nverify_key_file = \"DIR/secret\"\n[bus]", config.RoleAgent, "keys.verify_key_file: Trove signs nothing"},
		"a store":              {underTrove, "[bus]", "[stores.s]\nkind = \"file\"\npath = \"DIR\"\n[bus]", config.RoleAgent, "stores: remove [stores.s]"},
		"no database":          {underTrove, `database = "/run/mysqld/mysqld.sock"`, "", config.RoleAgent, "agent.database: /run/mysqld/mysqld.sock"},
		"no address":           {underTrove, `"/run/mysqld/mysqld.sock"`, `"mysqld.sock"`, config.RoleAgent, "agent.database: neither a socket nor"},
		"credentials of all":   {underTrove, `credentials_file = "DIR/secret"`, `credentials_file = "DIR/open"`, config.RoleAgent, "agent.credentials_file: chmod 600"},
		"relative credentials": {underTrove, `credentials_file = "DIR/secret"`, `credentials_file = "db.cnf"`, config.RoleAgent, "agent.credentials_file: absolute"},
		"another method":       {underTrove, "[agent]", "[agent]\nbackup_strategy = [\"MySQLDump\"]", config.RoleAgent, "agent.backup_strategy: MariaBackup alone"},

		"guests":               {overTrove, "", "", config.RoleTasks, ""},
		"and their conductor":  {overTrove, "", "", config.RoleConductor, ""},
		"and their API":        {overTrove, "", "", config.RoleAPI, ""},
		"guests, and no role":  {overTrove, "", "", config.Everything, ""},
		"guests of a server":   {overTrove, "", "", config.RoleServer, ""},
		"agents beside guests": {overTrove, `auth_url = "https://keystone.example:5000/v3"`, "", config.RoleAgent, ""},
		"no Keystone":          {overTrove, `auth_url = "https://keystone.example:5000/v3"`, "", config.RoleTasks, "trove.auth_url: not said where"},
		"no matter there":      {overTrove, `auth_url = "https://keystone.example:5000/v3"`, "", config.RoleConductor, ""},
		"a plain Keystone":     {overTrove, "https://keystone", "http://keystone", config.RoleTasks, "trove.auth_url: plaintext"},
		"plain, and meant":     {overTrove, `auth_url = "https://keystone`, "insecure = true\nauth_url = \"http://keystone", config.RoleTasks, ""},
		"nobody":               {overTrove, `user = "coffer"` + "\n" + `password_file = "DIR/secret"` + "\n[bus]", `password_file = "DIR/secret"` + "\n[bus]", config.RoleTasks, "trove.user: role in each"},
		"no password":          {overTrove, `password_file = "DIR/secret"` + "\n[bus]", "[bus]", config.RoleTasks, "trove.password_file: mode 0600"},
		"a password for all":   {overTrove, `password_file = "DIR/secret"` + "\n[bus]", `password_file = "DIR/open"` + "\n[bus]", config.RoleTasks, "trove.password_file: chmod 600"},
		"no authority":         {overTrove, "guests = true", "guests = true\nca_file = \"DIR/none\"", config.RoleTasks, "trove.ca_file: there is no"},
		"guests believed":      {overTrove, "trusted = true", "", config.RoleConductor, "bus.trusted: set trusted = true"},
		"guests' exchange":     {overTrove, `exchange = "openstack"`, "", config.RoleConductor, "bus.exchange: control_exchange"},
		"a guest itself":       {overTrove, "trusted = true", "trusted = true\ntrove_instance = \"22222222-0000-4000-8000-000000000002\"", config.RoleTasks, "bus.trove_instance: remove it"},
		"guests of one host":   {"[trove]\nguests = true\n", "", "", config.RoleServer, "trove.guests: RabbitMQ"},
	} {
		if !strings.Contains(c.body, c.old) {
			t.Fatalf("%s: no %q", name, c.old)
		}
		cfg, err := config.Load(write(t, "coffer.toml", strings.ReplaceAll(strings.Replace(c.body, c.old, c.new, 1), "DIR", dir), 0o644), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := cfg.Check(c.role)
		key, text, _ := strings.Cut(c.want, ": ")
		switch {
		case c.want == "" && len(got) == 0:
		case len(got) != 1 || got[0].Key != key || !strings.Contains(got[0].String(), text) || got[0].Hint == "" && key != "trove.ca_file":
			t.Errorf("%s: want %q, got %v", name, c.want, got)
		}
	}
}

func TestConn(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]coffer.Conn{
		"/run/m.sock": {Socket: "/run/m.sock", CredentialsFile: "/c"}, "127.0.0.1:3307": {Host: "127.0.0.1", Port: 3307, CredentialsFile: "/c"},
		"[::1]:1": {Host: "::1", Port: 1, CredentialsFile: "/c"}, "": {}, "m.sock": {}, ":3306": {}, "db:0": {}, "db:65536": {}, "db:x": {},
	} {
		got, err := config.Agent{Database: at, CredentialsFile: "/c"}.Conn()
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != coffer.Conn{}) || err != nil && coffer.HintOf(err) == "" {
			t.Errorf("%q: %v\n%s", at, err, diff)
		}
	}
}
