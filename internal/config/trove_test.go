package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer/internal/config"
)

const troveConf = `
# an operator's file
[DEFAULT]
transport_url = rabbit://stack:p%40ss@10.0.0.5:5672,stack:p%40ss@10.0.0.6//
control_exchange = trove
taskmanager-queue = taskmanager
conductor_queue = other-conductor
max_backups_per_tenant = 12
backup_swift_container = db_backups
storage_strategy = swift
backup_segment_max_size = 2147483648
verify_swift_checksum_on_restore = True
taskmanager_rpc_encr_key = bzH6y0SGmjuoY0FNSTptrhgieGXNDX6PIhvz
bind_port = 8779
bind_host = 127.0.0.1
nova_keypair =
trove_conductor_workers = 3
network_label_regex = .*
  more of it
debug = true
[oslo_messaging_rabbit]
amqp_durable_queues = True
[database]
connection = mysql+pymysql://trove:geheim@127.0.0.1:3306/trove?charset=utf8
[keystone_authtoken]
password = keystone-word
[service_credentials]
auth_url = http://127.0.0.1:5000/v3
username = trove
user_domain_name = Default
password = service-word
region_name = RegionTwo
`

// A trove.conf becomes a file that is understood here; secrets go into files; what
// has no meaning is named, without its value.
func TestImportTrove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	im, err := config.ImportTrove(strings.NewReader(troveConf), dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range im.Secrets {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, problems := load(t, im.TOML)
	if len(problems) > 0 {
		t.Fatalf("%v in\n%s", problems, im.TOML)
	}
	want := config.Default()
	want.API.Listen, want.API.Quota, want.API.Container, want.API.Region = "127.0.0.1:8779", 12, "db_backups", "RegionTwo"
	want.Conductor.Workers, want.Log.Level = 3, "debug"
	want.Bus = config.Bus{
		Kind: "amqp", Hosts: []string{"10.0.0.5:5672", "10.0.0.6"}, User: "stack", VHost: "/", Exchange: "trove", Trusted: true, Durable: true,
		PasswordFile: filepath.Join(dir, "bus.password"), Password: config.NewSecret("p@ss"),
		TroveTaskManagerKeyFile: filepath.Join(dir, "trove-taskmanager.key"),
		TroveTaskManagerKey:     config.NewSecret("bzH6y0SGmjuoY0FNSTptrhgieGXNDX6PIhvz"),
	}
	want.Trove = config.Trove{
		AuthURL: "http://127.0.0.1:5000/v3", User: "trove", UserDomain: "Default", Region: "RegionTwo",
		PasswordFile: filepath.Join(dir, "keystone.password"),
	}
	want.Records.URL = "mysql://trove@127.0.0.1:3306/coffer"
	want.Records.PasswordFile, want.Records.Password = filepath.Join(dir, "records.password"), config.NewSecret("geheim")
	c.File = ""
	if diff := cmp.Diff(want, c, unexported, secrets); diff != "" {
		t.Error(diff)
	}
	all := im.TOML + strings.Join(im.ToDo, "\n") + strings.Join(im.Ignored, "\n")
	for _, word := range append(slices.Collect(maps.Values(im.Secrets)), "keystone-word") {
		if strings.Contains(all, word) {
			t.Errorf("a secret is told: %s", word)
		}
	}
	for _, words := range []string{
		`conductor_queue is "other-conductor"`, "storage_strategy", "in plaintext", `an empty database "coffer"`, "taskmanager_rpc_encr_key is the one that Trove publishes",
		"set guests = true in [trove]",
	} {
		if !strings.Contains(strings.Join(im.ToDo, "\n"), words) {
			t.Errorf("nothing is to be done about %s: %q", words, im.ToDo)
		}
	}
	ignored := []string{
		"backup_segment_max_size: parts are sized by what is written", "verify_swift_checksum_on_restore: every part's sum is always checked",
		"nova_keypair", "network_label_regex", "keystone_authtoken.password",
	}
	if diff := cmp.Diff(ignored, im.Ignored); diff != "" {
		t.Error(diff)
	}
}

const guestConf = `
[DEFAULT]
transport_url = rabbit://stack:p%40ss@10.0.0.5:5672//?ssl=1
control_exchange = trove
storage_strategy = swift
os_region_name = RegionTwo
backup_swift_container = other
[mariadb]
backup_strategy = MariaBackup
[database]
connection = mysql+pymysql://trove:geheim@127.0.0.1:3306/trove
`

const guestInfo = `
[DEFAULT]
guest_id = 11111111-0000-4000-8000-000000000001
datastore_manager = mariadb
instance_rpc_encr_key = key-of-one
`

// The two files of a guest become an agent under Trove that misses nothing but which
// database it is.
func TestImportGuest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	im, err := config.ImportTrove(strings.NewReader(guestConf+guestInfo), dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range im.Secrets {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, problems := load(t, im.TOML)
	if len(problems) > 0 {
		t.Fatalf("%v in\n%s", problems, im.TOML)
	}
	if got := c.Check(config.RoleAgent); len(got) != 1 || got[0].Key != "agent.database" {
		t.Errorf("to be done by hand: %v in\n%s", got, im.TOML)
	}
	want := config.Default()
	want.Agent.Profile, want.Agent.TroveRegion, want.Agent.Strategy = "trove", "RegionTwo", []string{"mariadb=MariaBackup"}
	want.Bus = config.Bus{
		Kind: "amqp", Hosts: []string{"10.0.0.5:5672"}, User: "stack", VHost: "/", Exchange: "trove", Trusted: true, TLS: true,
		PasswordFile: filepath.Join(dir, "bus.password"), Password: config.NewSecret("p@ss"),
		TroveInstanceKeysFile: filepath.Join(dir, "trove-instance.keys"),
		TroveInstanceKeys:     config.NewSecret("11111111-0000-4000-8000-000000000001 key-of-one"),
		TroveInstance:         "11111111-0000-4000-8000-000000000001",
	}
	c.File = ""
	if diff := cmp.Diff(want, c, unexported, secrets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"say which database it is: set database (and credentials_file) in [agent]"}, im.ToDo); diff != "" {
		t.Error(diff)
	}
	ignored := []string{
		"backup_swift_container: a guest has no part in it", "database.connection: a guest has no part in it", "datastore_manager",
	}
	if diff := cmp.Diff(ignored, im.Ignored); diff != "" {
		t.Error(diff)
	}
}

// What cannot be understood is to be done by a person, and breaks nothing.
func TestImportOddities(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"transport_url = fake://":                         "none of RabbitMQ",
		"transport_url = rabbit://":                       "none of RabbitMQ",
		"[database]\nconnection = sqlite:///x":            "no server",
		"max_backups_per_tenant = lots":                   "no number",
		"bind_host = 0.0.0.0":                             "listens for everybody",
		"guest_id = 11111111-0000-4000-8000-000000000001": "name trove-guestagent.conf",
		"guest_id = x\nstorage_strategy = S3":             "in Swift alone",
		"transport_url = rabbit://u:p@127.0.0.1:1/v":      "keys that it publishes",
		"[database]\nconnection = postgresql://u:p@db/t":  "over TLS",
	} {
		im, err := config.ImportTrove(strings.NewReader(body), "/s")
		if err != nil || !strings.Contains(strings.Join(im.ToDo, "\n"), want) {
			t.Errorf("%q: %v, %v", body, im.ToDo, err)
		}
		if _, problems := load(t, strings.ReplaceAll(im.TOML, "password_file = ", "# ")); len(problems) > 0 {
			t.Errorf("%q gives %v in\n%s", body, problems, im.TOML)
		}
	}
}

func FuzzImportTrove(f *testing.F) {
	f.Add(troveConf)
	f.Add(guestConf + guestInfo)
	f.Add("max_backups_per_tenant=1\nmax_backups_per_tenant=2\ncontrol_exchange = \x7f\x00\xff<'\"\\\ntransport_url = rabbit://u:p@h\n")
	f.Add("a\n b\n[\n]\n=x\n[x]\n y = 1")
	f.Fuzz(func(t *testing.T, body string) {
		im, err := config.ImportTrove(strings.NewReader(body), "/s")
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(path, []byte(im.TOML), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = config.Load(path, nil)
		for _, p := range config.ProblemsOf(err) {
			if !strings.HasSuffix(p.Key, "_file") {
				t.Fatalf("%v in\n%s", p, im.TOML)
			}
		}
	})
}
