package config

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// guest reports whether a process of the role is Trove's guest agent.
func (c Config) guest(role Role) bool {
	return c.Agent.Profile == ProfileTrove && (role == RoleAgent || role == Everything)
}

// Conn is how an agent of Trove's profile reaches its database.
func (a Agent) Conn() (coffer.Conn, error) {
	const op = "read where the database is"
	if strings.HasPrefix(a.Database, "/") {
		return coffer.Conn{Socket: a.Database, CredentialsFile: a.CredentialsFile}, nil
	}
	host, text, err := net.SplitHostPort(a.Database)
	port, perr := strconv.ParseUint(text, 10, 16)
	if err != nil || perr != nil || host == "" || port == 0 {
		return coffer.Conn{}, coffer.E(coffer.KindInvalid, op, "%q is neither a socket nor host:port", a.Database).WithHint("%s", databaseHint)
	}
	return coffer.Conn{Host: host, Port: int(port), CredentialsFile: a.CredentialsFile}, nil
}

const databaseHint = `it looks like "/run/mysqld/mysqld.sock", or "127.0.0.1:3306"`

// profile refuses what no agent is, and a control plane on the file of an agent that
// has Trove's: both would read the queues of Trove's own.
func (r *reader) profile(role Role) {
	switch p := r.c.Agent.Profile; {
	case p != ProfileCoffer && p != ProfileTrove:
		r.problem("agent.profile", "there is no profile "+quote(p), `it is "coffer" or "trove"`)
	case p == ProfileTrove && !r.c.guest(role):
		r.problem("agent.profile", "an agent under Trove has Trove's own task manager and conductor, and this would be another one on its queues",
			"run only coffer agent on this file; a control plane of Coffer's has a file and an exchange of its own")
	case p == ProfileTrove && r.c.Trove.Guests:
		r.problem("trove.guests", "the agent of this file is itself a guest of Trove's", "guests are a control plane's: remove it, or profile in [agent]")
	}
}

// guest asks for what the guest agent of one of Trove's instances needs.
func (r *reader) guest(role Role) {
	a, b := r.c.Agent, r.c.Bus
	if b.Kind == Local {
		if role == Everything { // else it is said already
			r.problem("bus.kind", "Trove is reached through RabbitMQ", `set kind = "amqp" and hosts`)
		}
		return
	}
	switch {
	case b.TroveInstance == "":
		r.problem("bus.trove_instance", "it is not said for which of Trove's instances this agent is", "set it to guest_id of /etc/trove/conf.d/guest_info.conf")
	case !coffer.IsUUID(b.TroveInstance):
		r.problem("bus.trove_instance", quote(b.TroveInstance)+" is no instance's id", "set it to guest_id of /etc/trove/conf.d/guest_info.conf")
	}
	r.asTrove()
	if r.c.Keys.VerifyKeyFile != "" {
		r.problem("keys.verify_key_file", "Trove signs nothing: every order would be refused", "remove it")
	}
	if len(r.c.Stores) > 0 {
		r.problem("stores", "under Trove backups go into the caller's own object store, and nowhere else", "remove [stores."+sortedKeys(r.c.Stores)[0]+"]")
	}
	if a.Database == "" {
		r.problem("agent.database", "it is not said which database Trove's instance is", databaseHint)
	} else if _, err := a.Conn(); err != nil {
		r.problem("agent.database", quote(a.Database)+" is neither a socket nor host:port", databaseHint)
	}
	switch f := a.CredentialsFile; {
	case f == "":
	case !filepath.IsAbs(f):
		r.problem("agent.credentials_file", "it is no absolute path", "it begins with /")
	default:
		r.private("agent.credentials_file", f)
	}
	r.physical()
}

// physical refuses a method that Trove's restore of this layout knows nothing of.
func (r *reader) physical() {
	for _, text := range r.c.Agent.Strategy {
		s, err := engine.ParseStrategy(text)
		if err == nil && s.Method != engine.MariaBackup && (s.Datastore == "" || s.Datastore == "mariadb") {
			r.problem("agent.backup_strategy", "under Trove an agent makes backups by MariaBackup alone", "remove "+quote(text))
			return
		}
	}
}

// guests asks for what a control plane with guests of Trove's needs.
func (r *reader) guests(role Role) {
	t := r.c.Trove
	if !t.Guests || role == RoleAgent {
		return
	}
	if r.c.Bus.Kind == Local {
		if role == Everything || role == RoleServer {
			r.problem("trove.guests", "guests are reached through RabbitMQ", `set kind = "amqp" and hosts in [bus]`)
		}
		return
	}
	r.asTrove()
	if r.c.Bus.TroveInstance != "" {
		r.problem("bus.trove_instance", "it makes this process a guest, and there are guests to be had", "remove it: their keys alone stand in trove_instance_keys_file")
	}
	if role == RoleAPI || role == RoleConductor { // they log in nowhere
		return
	}
	r.address("trove.auth_url", t.AuthURL, t.Insecure, "https://keystone.example:5000/v3")
	if t.User == "" {
		r.problem("trove.user", "there is nobody as whom guests reach their projects' object store", "set it to a user of Keystone's that has a role in each of those projects")
	}
	if t.PasswordFile == "" {
		r.problem("trove.password_file", "there is no password to log in with", "put it into a file of mode 0600 and name that")
	} else {
		r.private("trove.password_file", t.PasswordFile)
	}
	if t.CAFile != "" {
		r.exists("trove.ca_file", t.CAFile)
	}
}

// asTrove is what both sides of Trove's wire want: its exchange, and that whoever is
// on it is believed.
func (r *reader) asTrove() {
	b := r.c.Bus
	if !b.Trusted {
		r.problem("bus.trusted", "Trove proves no sender and signs no verb", "set trusted = true: then whoever has an account at the broker is believed, as in Trove")
	}
	if b.Exchange == Default().Bus.Exchange && r.c.lines["bus.exchange"] == 0 {
		r.problem("bus.exchange", "it is not said which one is Trove's", `set it to control_exchange of trove.conf, "openstack" where that says nothing`)
	}
}

// troveKeys looks over the keys of Trove's own encryption. Where RPC is plain a guest
// has none.
func (r *reader) troveKeys(role Role) {
	b := r.c.Bus
	known := []string{}
	for line := range strings.Lines(b.TroveInstanceKeys.Reveal()) {
		f := strings.Fields(line)
		if len(f) != 2 {
			r.problem("bus.trove_instance_keys_file", "it has a line that is not an instance's id and its key", "")
			return
		}
		known = append(known, f[0])
	}
	plain := r.c.guest(role) && len(known) == 0
	if id := b.TroveInstance; id != "" && !plain && !slices.Contains(known, id) {
		r.problem("bus.trove_instance", "there is no key of this instance", "add it to the file that trove_instance_keys_file names")
	}
}
