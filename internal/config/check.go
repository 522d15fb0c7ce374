package config

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Check says what a process of the role could not work with. It looks at files,
// and connects to nothing.
func (c Config) Check(role Role) []Problem {
	r := reader{c: &c}
	alone := slices.Contains([]Role{RoleAPI, RoleTasks, RoleConductor, RoleAgent}, role)
	r.bus(role, alone)
	if role != RoleAgent {
		r.records(alone)
	}
	if role == Everything || role == RoleServer || role == RoleAPI {
		r.api(role == RoleAPI)
	}
	if role == Everything || role == RoleServer || role == RoleAgent {
		r.agent()
	}
	r.profile(role)
	if c.guest(role) {
		r.guest(role)
	} else {
		r.storesOf(alone)
		r.guests(role)
	}
	if role != RoleAgent {
		r.enrol(role)
		r.newBackups()
	}
	r.keys(role)
	r.numbers()
	r.log()
	return sorted(r.problems)
}

func (r *reader) bus(role Role, alone bool) {
	b := r.c.Bus
	switch b.Kind {
	case Local:
		if alone {
			r.problem("bus.kind", "a role of its own reaches the others through RabbitMQ", `set kind = "amqp" and hosts`)
		}
		return
	case AMQP:
	default:
		r.problem("bus.kind", "there is no bus "+quote(b.Kind), `it is "local" or "amqp"`)
		return
	}
	if len(b.Hosts) == 0 {
		r.problem("bus.hosts", "no broker is named", `set hosts = ["rabbit1.example:5671"]`)
	}
	if b.User == "" || b.Password.Zero() && b.CertFile == "" {
		r.problem("bus.user", "there is no account at the broker", "set user and password_file, or COFFER_BUS_PASSWORD")
	}
	if b.Exchange == "" {
		r.problem("bus.exchange", "there is no exchange", "all processes name the same one")
	}
	if b.Insecure && (b.TLS || b.CAFile != "") {
		r.problem("bus.insecure", "it says plaintext, and tls or ca_file says TLS", "remove one of them")
	}
	if files, on := r.c.BusTLS(); on {
		r.files("bus", files)
	}
	if !r.c.guest(role) {
		r.trust(role)
	}
	r.troveKeys(role)
}

// trust asks for what proves senders and verbs, unless everybody is believed.
func (r *reader) trust(role Role) {
	k := r.c.Keys
	if r.c.Bus.Trusted {
		return
	}
	either := "; or set trusted = true in [bus]: then whoever has an account at the broker is believed"
	if k.VerifyKeyFile == "" && role == RoleAgent {
		r.problem("keys.verify_key_file", "nothing proves that verbs come from the control plane", "join with a token: coffer agent join"+either)
	}
	if k.SigningKeyFile == "" && (role == RoleAPI || role == RoleTasks || role == RoleServer) {
		r.problem("keys.signing_key_file", "agents take no verb that is not signed", "make a key: coffer ca init"+either)
	}
	if role == RoleServer && r.c.Server.Agent {
		r.problem("server.agent", "an agent in this process has no account of its own to prove itself by", "set agent = false and run coffer agent"+either)
	}
}

func (r *reader) records(alone bool) {
	c := r.c.Records
	switch {
	case c.Path != "" && c.URL != "":
		r.problem("records.url", "both a file and a server are named", "remove path or url")
		return
	case c.URL == "" && alone:
		r.problem("records.url", "roles of their own share the records on a server", `set url = "postgres://coffer@db.example/coffer", or mysql://…`)
		return
	case c.URL == "":
		return
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		r.problem("records.url", "it is no URL", `it looks like "postgres://coffer@db.example/coffer"`)
		return
	case !slices.Contains([]string{"postgres", "postgresql", "mysql", "mariadb"}, u.Scheme):
		r.problem("records.url", "there are no records on "+quote(u.Scheme), "it begins with postgres:// or mysql://")
	case strings.Trim(u.Path, "/") == "":
		r.problem("records.url", "it names no database", "it ends in /coffer or the like")
	}
	if _, in := u.User.Password(); in {
		r.problem("records.url", "a password does not stand in this file", "put it into a file of mode 0600 and name that: password_file")
	}
	if u.User.Username() == "" {
		r.problem("records.url", "it names no user", `it looks like "postgres://coffer@db.example/coffer"`)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		r.problem("records.url", "it has options", "remove what follows the database's name; tls, ca_file and insecure are keys of their own")
	}
	if files, on := r.c.RecordsTLS(); on {
		r.files("records", files)
	}
	if c.MaxConns < 2 {
		r.problem("records.max_conns", "at least 2 are needed", "")
	}
}

func (r *reader) api(alone bool) {
	a := r.c.API
	if _, _, err := net.SplitHostPort(a.Listen); err != nil {
		r.problem("api.listen", quote(a.Listen)+" is no address", `it looks like "127.0.0.1:8779" or ":8779"`)
		return
	}
	files, on := r.c.APITLS()
	switch {
	case (files.CertFile == "") != (files.KeyFile == ""):
		r.problem("api.cert_file", "a certificate and its key go together", "set both cert_file and key_file")
	case on:
		r.files("api", files)
	case !a.Insecure && !IsLocal(a.Listen):
		r.problem("api.listen", "tokens would cross the network in plaintext", "set cert_file and key_file, or insecure = true behind a TLS proxy")
	}
	if a.BaseURL != "" {
		if u, err := url.Parse(a.BaseURL); err != nil || u.Host == "" {
			r.problem("api.base_url", quote(a.BaseURL)+" is no URL", `it looks like "https://backup.example:8779"`)
		}
	}
	switch {
	case a.TokensFile == "" && alone:
		r.problem("api.tokens_file", "nobody could call", "name a file with one JSON line for each caller, mode 0600")
	case a.TokensFile != "":
		r.private("api.tokens_file", a.TokensFile)
	}
}

// newBackups is where they go: the API says it, and a task manager looks there.
func (r *reader) newBackups() {
	want, all := r.c.API.DefaultStore, strings.Join(sortedKeys(r.c.Stores), ", ")
	_, known := r.c.Stores[want]
	switch {
	case want != "" && !known:
		r.problem("api.default_store", "there is no [stores."+want+"]", "the stores are "+all)
	case want == "" && len(r.c.Stores) > 1:
		r.problem("api.default_store", "it is not said which store takes new backups", "set it to one of "+all)
	}
}

func (r *reader) enrol(role Role) {
	e := r.c.Enrol
	if e.ManagementURL == "" {
		return
	}
	u, err := url.Parse(e.ManagementURL)
	switch {
	case err != nil || u.Host == "":
		r.problem("enrol.management_url", quote(e.ManagementURL)+" is no URL", `it looks like "https://rabbit.example:15671"`)
	case u.Scheme == "http" && !IsLocal(u.Host) && !IsLocal(u.Hostname()) && !e.Insecure:
		r.problem("enrol.management_url", "passwords of accounts would cross the network in plaintext", "use https, or insecure = true")
	}
	if e.URL == "" && r.c.API.BaseURL == "" && (role == RoleAPI || role == RoleServer || role == Everything) {
		r.problem("enrol.url", "agents are not told where the API is", `set it to its address for them, such as "https://backup.example:8779"`)
	}
	if e.CAFile != "" {
		r.exists("enrol.ca_file", e.CAFile)
	}
}

func (r *reader) agent() {
	a := r.c.Agent
	for key, path := range map[string]string{"agent.state": a.State, "agent.host_dir": a.HostDir} {
		if path != "" && !filepath.IsAbs(path) {
			r.problem(key, "it is no absolute path", "it begins with /")
		}
	}
	r.runner()
	if a.SpoolBytes < 1<<20 {
		r.problem("agent.spool_bytes", "less than 1 MiB cannot hold a backup's tail", "the default is 256 MiB")
	}
}

func (r *reader) keys(role Role) {
	k := r.c.Keys
	if k.IdentityFile != "" && role != RoleAPI && role != RoleConductor {
		r.private("keys.identity_file", k.IdentityFile)
	}
	if k.RecipientsFile != "" {
		r.exists("keys.recipients_file", k.RecipientsFile)
	}
	if k.RecipientsFile != "" && len(k.Recipients) > 0 {
		r.problem("keys.recipients", "recipients stand here and in recipients_file", "remove one of them")
	}
	if k.SigningKeyFile != "" && role != RoleAgent && role != RoleConductor {
		r.private("keys.signing_key_file", k.SigningKeyFile)
	}
	if k.VerifyKeyFile != "" && (role == RoleAgent || role == Everything) {
		r.exists("keys.verify_key_file", k.VerifyKeyFile)
	}
}

func (r *reader) numbers() {
	for key, n := range map[string]int{
		"taskmanager.max_jobs": r.c.TaskManager.MaxJobs, "taskmanager.max_jobs_per_host": r.c.TaskManager.MaxJobsPerHost,
		"taskmanager.max_jobs_per_store": r.c.TaskManager.MaxJobsPerStore, "taskmanager.max_links": r.c.TaskManager.MaxLinks,
	} {
		if n < 0 {
			r.problem(key, "it is below 0", "0 is no bound")
		}
	}
	if r.c.TaskManager.MaxLinks == 1 {
		r.problem("taskmanager.max_links", "a chain of 1 has no increment", "it is 2 or more; 0 is no bound")
	}
	if n := r.c.Conductor.Workers; n < 1 || n > 64 {
		r.problem("conductor.workers", "it is not within 1 and 64", "")
	}
}

func (r *reader) log() {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, r.c.Log.Level) {
		r.problem("log.level", "there is no level "+quote(r.c.Log.Level), "it is debug, info, warn or error")
	}
	if !slices.Contains([]string{"text", "json"}, r.c.Log.Format) {
		r.problem("log.format", "there is no format "+quote(r.c.Log.Format), "it is text or json")
	}
}

// files looks at the files of one side of TLS.
func (r *reader) files(section string, t TLS) {
	if t.CAFile != "" {
		r.exists(section+".ca_file", t.CAFile)
	}
	if t.CertFile != "" {
		r.exists(section+".cert_file", t.CertFile)
	}
	if t.KeyFile != "" {
		r.private(section+".key_file", t.KeyFile)
	}
}

func (r *reader) exists(key, path string) {
	if _, err := os.Stat(path); err != nil {
		r.problem(key, "there is no "+path, "")
	}
}

func (r *reader) private(key, path string) {
	if why, hint := Private(path); why != "" {
		r.problem(key, why, hint)
	}
}

func quote(s string) string { return `"` + s + `"` }
