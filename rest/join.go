package rest

import (
	"time"

	"github.com/cofferdb/coffer"
)

// Invite asks for a token with which one agent of another machine joins. With Host
// it becomes a host of restored servers; else it will look after the database that
// Conn names on that machine, which is known by Name from now on.
type Invite struct {
	Name string      `json:"name,omitempty"`
	Conn coffer.Conn `json:"conn"`
	Host bool        `json:"host,omitempty"`
	Life int         `json:"life_seconds,omitempty"` // 0 is an hour
}

// InviteBody wraps an Invite.
type InviteBody struct {
	Join Invite `json:"join"`
}

// Invitation is a token, shown once: only its hash is kept.
type Invitation struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	// Instance is the database that the agent will look after; it is BUILD until the
	// agent has looked at it.
	Instance *Instance `json:"instance,omitempty"`
}

// InvitationBody wraps an Invitation.
type InvitationBody struct {
	Join Invitation `json:"join"`
}

// Redeem is an agent that joins: the token's secret, and the agent's own key, of
// which its id is a hash.
type Redeem struct {
	Secret   string `json:"secret"`
	AgentKey string `json:"agent_key"`
}

// Joined is all that an agent is given. Password is the only secret in it.
type Joined struct {
	Agent       coffer.AgentID    `json:"agent"`
	Host        bool              `json:"host"`
	Project     coffer.ProjectID  `json:"project_id"`
	Instance    coffer.InstanceID `json:"instance_id,omitempty"`
	CA          string            `json:"ca,omitempty"` // PEM
	Brokers     []string          `json:"brokers"`      // host:port
	TLS         bool              `json:"tls"`
	VHost       string            `json:"vhost"`
	Exchange    string            `json:"exchange"`
	Account     string            `json:"account"`
	Password    string            `json:"password"`
	ReplyPrefix string            `json:"reply_prefix"` // of its reply queues' names
	VerifyKeys  []string          `json:"verify_keys"`  // of those that sign verbs
	// Stores are the stores by name, each as its section of a configuration without
	// secrets.
	Stores       map[string]map[string]string `json:"stores,omitempty"`
	DefaultStore string                       `json:"default_store,omitempty"`
}
