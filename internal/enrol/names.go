package enrol

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"github.com/cofferdb/coffer"
)

// The beginnings of accounts. What an account may be is in its name, which the broker
// vouches for: an agent beside a database is never taken for a host of restores.
const (
	agentAccount = "coffer-agent-"
	hostAccount  = "coffer-host-"
)

// Who is an agent as the broker knows it. Host agents may run restored servers, and
// so are given what others have backed up.
type Who struct {
	Agent coffer.AgentID
	Host  bool
}

// Account is the name of the agent's account at the broker.
func (w Who) Account() string {
	if w.Host {
		return hostAccount + string(w.Agent)
	}
	return agentAccount + string(w.Agent)
}

// ReplyPrefix is how the names of the agent's reply queues begin. Other names are
// refused by the broker.
func (w Who) ReplyPrefix() string { return "reply_" + string(w.Agent) + "_" }

// AgentOf says whose account it is; ok is false for one that is no agent's.
func AgentOf(account string) (w Who, ok bool) {
	id, ok := strings.CutPrefix(account, agentAccount)
	if !ok {
		id, ok = strings.CutPrefix(account, hostAccount)
		w.Host = ok
	}
	w.Agent = coffer.AgentID(id)
	return w, ok && plain(id)
}

// plain reports whether an id can stand in a pattern of names and be nothing but
// itself.
func plain(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || c == '-') {
			return false
		}
	}
	return true
}

// NewAgentKey makes the key of a new agent.
func NewAgentKey() string { return secret() }

// AgentID is the id of the agent that holds key: a UUID (version 8) of the key's
// SHA-256. Whoever knows an id cannot find a key for it.
func AgentID(key string) (coffer.AgentID, error) {
	b, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil || len(b) != 32 {
		return "", coffer.E(coffer.KindInvalid, "read the agent's key", "it is not 32 bytes in base64")
	}
	s := sha256.Sum256(append([]byte("coffer: an agent's id\x00"), b...))
	s[6], s[8] = s[6]&0x0f|0x80, s[8]&0x3f|0x80
	return coffer.AgentID(fmt.Sprintf("%x-%x-%x-%x-%x", s[:4], s[4:6], s[6:8], s[8:10], s[10:16])), nil
}

// rights are the patterns that hold an account to its own names.
type rights struct {
	configure, write, read string // names of queues and exchanges
	topicWrite, topicRead  string // routing keys on the control exchange
}

// rightsOf lets an agent declare and read the queues of its own topics and its reply
// queues, write to the control exchange for the conductor alone, and reply through
// the default exchange. Binding is reading the exchange under a key: the topic
// pattern keeps the agent from having others' messages sent to a queue of its own.
// The control exchange it cannot declare, so it cannot delete it either.
func rightsOf(w Who, instances []coffer.InstanceID, exchange string) (rights, error) {
	const op = "work out an agent's rights"
	if !plain(string(w.Agent)) {
		return rights{}, coffer.E(coffer.KindInvalid, op, "%q is no agent's id", w.Agent)
	}
	topics := []string{"hostagent\\." + string(w.Agent)}
	for _, id := range instances {
		if !plain(string(id)) {
			return rights{}, coffer.E(coffer.KindInvalid, op, "%q is no instance's id", id)
		}
		topics = append(topics, "guestagent\\."+string(id))
	}
	own := "(" + strings.Join(topics, "|") + ")"
	queues := own + `(\..+|_fanout(_.+)?)?|` + w.ReplyPrefix() + `.+`
	control := regexp.QuoteMeta(exchange)
	return rights{
		configure:  "^(" + queues + ")$",
		write:      "^(" + queues + "|" + control + `|amq\.default)$`,
		read:       "^(" + queues + "|" + control + ")$",
		topicWrite: `^trove-conductor$`,
		topicRead:  "^" + own + `(\..+)?$`,
	}, nil
}
