package config

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
)

// Imported is what a trove.conf means here.
type Imported struct {
	TOML    string            // a configuration
	Secrets map[string]string // file name → what it must hold, for files that TOML names
	ToDo    []string          // what a person must decide
	Ignored []string          // options without a meaning here, by name: a value may be secret
}

// ImportTrove reads a trove.conf, or a guest's trove-guestagent.conf and
// guest_info.conf one after the other. What names a guest_id is a guest's, and becomes
// the configuration of an agent under Trove. Files of secrets are named below the
// folder secrets; nothing is written.
func ImportTrove(r io.Reader, secrets string) (Imported, error) {
	options, err := readOslo(r)
	if err != nil {
		return Imported{}, coffer.E(coffer.KindInvalid, "read Trove's configuration", "%w", err)
	}
	im := &importer{
		dir: secrets, sections: map[string][]string{}, seen: map[string]string{},
		out: Imported{Secrets: map[string]string{}},
	}
	for _, o := range options {
		im.seen[o.section+"."+o.key] = o.value
	}
	im.guest = im.seen["DEFAULT.guest_id"] != ""
	for _, o := range options {
		if why, dropped := meaningless[o.key]; dropped && o.section == "DEFAULT" {
			im.out.Ignored = append(im.out.Ignored, o.key+": "+why)
		} else if im.guest && forPlane(o) {
			im.out.Ignored = append(im.out.Ignored, strings.TrimPrefix(o.section+".", "DEFAULT.")+o.key+": a guest has no part in it")
		} else if !im.take(o) {
			im.out.Ignored = append(im.out.Ignored, strings.TrimPrefix(o.section+".", "DEFAULT.")+o.key)
		}
	}
	im.rest()
	im.out.TOML = im.text()
	return im.out, nil
}

// meaningless are options that operators ask after, and why they are not needed.
var meaningless = map[string]string{
	"backup_segment_max_size":          "parts are sized by what is written",
	"backup_chunk_size":                "what is read at once is fixed",
	"backup_use_gzip_compression":      "backups are always compressed",
	"backup_use_openssl_encryption":    "encryption is by age: coffer keys init",
	"backup_use_snet":                  "Swift's internal network is not used",
	"verify_swift_checksum_on_restore": "every part's sum is always checked",
	"backups_page_size":                "a page has 20 backups, as Trove's has",
	"report_interval":                  "agents are heard every 30 s",
	"agent_heartbeat_expiry":           "an agent unheard for 90 s is taken for away",
	"storage_namespace":                "a store's kind says it",
	"inst_rpc_key_encr_key":            "it opens instances' keys in Trove's database, which is not read",
}

// publicKey is the task managers' key that Trove has where nobody sets one.
const publicKey = "bzH6y0SGmjuoY0FNSTptrhgieGXNDX6PIhvz"

type importer struct {
	guest    bool // it is a guest's
	dir      string
	sections map[string][]string // section → its lines
	seen     map[string]string
	methods  []string // of backup_strategy
	out      Imported
}

// put sets a key; of two the later one counts.
func (im *importer) put(section, key string, v any) {
	line := key + " = " + tomlText(v)
	lines := im.sections[section]
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, key+" = ") }); i >= 0 {
		lines[i] = line
		return
	}
	im.sections[section] = append(lines, line)
}

// tomlText is a text, number, boolean or list as TOML has it, which is as JSON has
// it but for one character.
func tomlText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return `""` // nothing of these kinds
	}
	return strings.ReplaceAll(string(b), "\x7f", `\u007f`)
}

// secret names a file for a secret.
func (im *importer) secret(section, key, file, value, from string) {
	if value == "" {
		return
	}
	im.put(section, key, path.Join(im.dir, file))
	im.out.Secrets[file] = value
	if value == publicKey {
		im.todo("%s is the one that Trove publishes: it hides nothing", from)
	}
}

func (im *importer) todo(format string, args ...any) {
	im.out.ToDo = append(im.out.ToDo, fmt.Sprintf(format, args...))
}

// take puts what an option means into the result; false means nothing here.
func (im *importer) take(o option) bool {
	switch o.section + "." + o.key {
	case "DEFAULT.transport_url":
		im.transport(o.value)
	case "DEFAULT.control_exchange":
		im.put("bus", "exchange", o.value)
	case "DEFAULT.taskmanager_queue", "DEFAULT.conductor_queue":
		im.topic(o)
	case "database.connection":
		im.database(o.value)
	case "DEFAULT.max_backups_per_tenant":
		im.number("api", "quota", o)
	case "DEFAULT.backup_swift_container":
		im.put("api", "default_container", o.value)
	case "DEFAULT.storage_strategy":
		im.storage(o.value)
	case "DEFAULT.backup_aes_cbc_key", "DEFAULT.default_aes_cbc_key":
		im.todo("%s opens backups that old agents have encrypted: keep it", o.key)
	case "DEFAULT.os_region_name", "service_credentials.region_name":
		im.region(o.value)
	case "service_credentials.auth_url":
		im.put("trove", "auth_url", o.value)
	case "service_credentials.username":
		im.put("trove", "user", o.value)
	case "service_credentials.user_domain_name":
		im.put("trove", "user_domain", o.value)
	case "service_credentials.password":
		im.secret("trove", "password_file", "keystone.password", o.value, "the password of [service_credentials]")
	case "ssl.cert_file", "ssl.key_file":
		im.put("api", o.key, o.value)
	case "DEFAULT.trove_conductor_workers":
		im.number("conductor", "workers", o)
	case "mariadb.backup_strategy", "mysql.backup_strategy", "percona.backup_strategy":
		im.strategy(o)
	case "mariadb.backup_namespace", "mysql.backup_namespace", "percona.backup_namespace",
		"mariadb.backup_incremental_strategy", "mysql.backup_incremental_strategy", "percona.backup_incremental_strategy":
		// the class that backup_strategy names lies there; increments are by the method of their full
	case "DEFAULT.backup_runner_options", "mariadb.backup_runner_options", "mysql.backup_runner_options", "percona.backup_runner_options":
		im.todo("%s has options of the old tools: set those that backup_runner_options in [agent] takes", o.key)
	case "DEFAULT.debug":
		if strings.EqualFold(o.value, "true") {
			im.put("log", "level", "debug")
		}
	case "oslo_messaging_rabbit.amqp_durable_queues":
		im.put("bus", "durable", strings.EqualFold(o.value, "true"))
	case "oslo_messaging_rabbit.ssl_ca_file", "oslo_messaging_rabbit.kombu_ssl_ca_certs":
		im.once("bus", "ca_file", o.value)
	case "DEFAULT.bind_host", "DEFAULT.bind_port", "DEFAULT.guest_id", "DEFAULT.enable_secure_rpc_messaging",
		"DEFAULT.taskmanager_rpc_encr_key", "DEFAULT.instance_rpc_encr_key": // see rest
	default:
		return false
	}
	return true
}

// strategy keeps the method that a datastore's section names.
func (im *importer) strategy(o option) {
	m, err := coffer.ParseMethod(o.value)
	if err != nil {
		im.todo("backup_strategy of [%s] is %q, which there is not here: see docs/ENGINES.md", o.section, o.value)
		return
	}
	im.methods = append(im.methods, o.section+"="+m.Class(false))
	im.put("agent", "backup_strategy", im.methods)
}

// once puts the first of several options that mean one key.
func (im *importer) once(section, key, value string) {
	if !slices.ContainsFunc(im.sections[section], func(l string) bool { return strings.HasPrefix(l, key+" = ") }) {
		im.put(section, key, value)
	}
}

func (im *importer) number(section, key string, o option) {
	n, err := strconv.Atoi(o.value)
	if err != nil {
		im.todo("%s is no number: set %s in [%s]", o.key, key, section)
		return
	}
	im.put(section, key, n)
}

func (im *importer) transport(value string) {
	t, ok := parseTransport(value)
	if !ok {
		im.todo("transport_url is none of RabbitMQ: set hosts, user and password_file in [bus]")
		return
	}
	im.put("bus", "kind", AMQP)
	im.put("bus", "trusted", true) // Trove's processes prove nothing
	im.put("bus", "hosts", t.hosts)
	im.put("bus", "user", t.user)
	im.secret("bus", "password_file", "bus.password", t.password, "the password of transport_url")
	im.put("bus", "vhost", t.vhost)
	switch {
	case t.tls:
		im.put("bus", "tls", true)
	case !allLocal(t.hosts):
		im.todo("the broker was spoken to in plaintext: give it TLS, or set insecure = true in [bus]")
	}
}

// topic compares a queue's name with the one that is used here.
func (im *importer) topic(o option) {
	want := map[string]string{"taskmanager_queue": "taskmanager", "conductor_queue": "trove-conductor"}[o.key]
	if o.value != want {
		im.todo("%s is %q: here it is always %q", o.key, o.value, want)
	}
}

// database keeps the server and the account; the records are a database of their own.
func (im *importer) database(value string) {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		im.todo("the connection of [database] is no server: set url in [records]")
		return
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	if scheme == "postgresql" {
		scheme = "postgres"
	}
	password, _ := u.User.Password()
	im.put("records", "url", (&url.URL{Scheme: scheme, User: url.User(u.User.Username()), Host: u.Host, Path: "/coffer"}).String())
	im.secret("records", "password_file", "records.password", password, "the database's password")
	im.todo("make an empty database \"coffer\" for %s: Trove's own (%s) is not touched", u.User.Username(), strings.Trim(u.Path, "/"))
	if !IsLocal(u.Host) {
		im.todo("the database is spoken to over TLS: set ca_file, or insecure = true, in [records]")
	}
}

// rest is what several options mean together.
func (im *importer) rest() {
	host, port := im.seen["DEFAULT.bind_host"], im.seen["DEFAULT.bind_port"]
	if !im.guest && (host != "" || port != "") {
		if port == "" {
			port = "8779"
		}
		im.put("api", "listen", host+":"+port)
		if !IsLocal(host) && im.seen["ssl.cert_file"] == "" {
			im.todo("the API listens for everybody: set cert_file and key_file, or insecure = true behind a TLS proxy, in [api]")
		}
	}
	if _, ok := im.seen["DEFAULT.control_exchange"]; !ok && len(im.sections["bus"]) > 0 {
		im.put("bus", "exchange", "openstack") // oslo.messaging's default
	}
	if im.guest {
		im.asGuest()
	} else if im.seen["service_credentials.auth_url"] != "" {
		im.todo("to have the guests that there are, set guests = true in [trove], and give its user a role in each of their projects")
	}
	if strings.EqualFold(im.seen["DEFAULT.enable_secure_rpc_messaging"], "false") || len(im.sections["bus"]) == 0 {
		return
	}
	if im.guest {
		im.guestKey()
		return
	}
	im.secret("bus", "trove_taskmanager_key_file", "trove-taskmanager.key", im.seen["DEFAULT.taskmanager_rpc_encr_key"], "taskmanager_rpc_encr_key")
	if im.seen["DEFAULT.taskmanager_rpc_encr_key"] == "" {
		im.todo("Trove encrypts with keys that it publishes, unless it is told others: set enable_secure_rpc_messaging = false there, or keys of your own on both sides")
	}
}

// text is the sections in the order of the example.
func (im *importer) text() string {
	var b strings.Builder
	b.WriteString("# From Trove's configuration. Look over it with: coffer config check\n")
	for _, name := range []string{"api", "conductor", "agent", "trove", "bus", "records", "log"} {
		if len(im.sections[name]) > 0 {
			fmt.Fprintf(&b, "\n[%s]\n%s\n", name, strings.Join(im.sections[name], "\n"))
		}
	}
	if im.guest {
		return b.String()
	}
	b.WriteString("\n# The place where backups lie, the same for every process.\n# [stores.default]\n# kind = \"file\"\n# path = \"/srv/backups\"\n")
	return b.String()
}
