// Package enrol is how an agent on another machine comes to work for a control
// plane: invited once, by a token that somebody carries there, and given an account
// of its own at the broker and what it must trust; nothing else.
//
//	Desk.Invite      a token that works once, for an hour; only its hash is kept
//	Join             the agent's side: pins the CA, redeems, writes its state folder
//	Desk.Redeem      the account, its password, the CA, the keys that sign verbs
//	Activator        looks through the new agent at its database, then it is ACTIVE
//
// An agent's id is a hash of a key that it makes and keeps ([AgentID]). So nobody can
// ask for another agent's account, also not with a token of his own, and an agent
// that asks again gets its own account with a new password. Of its account the broker
// vouches for with each message; [AgentOf] says whose it is, and the conductor
// compares that with what the message claims.
package enrol

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
)

// DefaultLife is how long a token may be carried; MaxLife is the longest.
const (
	DefaultLife = time.Hour
	MaxLife     = 7 * 24 * time.Hour
)

// Records is what the desk asks of the metadata.
type Records interface {
	CreateJoin(context.Context, records.Join) error
	RedeemJoin(ctx context.Context, tokenHash string, agent coffer.AgentID, now time.Time) (records.Join, error)
	InstanceByID(context.Context, coffer.InstanceID) (coffer.Instance, error)
	InstancesOfAgent(context.Context, coffer.AgentID) ([]coffer.Instance, error)
	UpdateInstance(context.Context, coffer.Instance) error
}

var _ Records = (*records.DB)(nil)

// Offer is what every agent that joins is told, and none of it is a secret.
type Offer struct {
	URL          string            // of the API, as agents reach it
	CA           *x509.Certificate // whom agents trust; nil is their system's
	Brokers      []string          // host:port
	TLS          bool              // the brokers speak TLS
	VHost        string
	Exchange     string
	VerifyKeys   []string // of those that sign verbs
	Stores       map[string]map[string]string
	DefaultStore string
}

// Desk invites agents and lets them in.
type Desk struct {
	Records  Records
	Accounts Accounts
	Offer    Offer
	Now      func() time.Time
}

// Invite makes a token for one agent: the one beside instance, or with "" a host
// agent. life 0 is an hour.
func (d *Desk) Invite(ctx context.Context, project coffer.ProjectID, instance coffer.InstanceID, life time.Duration) (string, time.Time, error) {
	const op = "make a join token"
	if life == 0 {
		life = DefaultLife
	}
	if life < time.Minute || life > MaxLife {
		return "", time.Time{}, coffer.E(coffer.KindInvalid, op, "a token works for a minute to %v, not for %v", MaxLife, life)
	}
	t := Token{URL: d.Offer.URL, Secret: secret()}
	if d.Offer.CA != nil {
		t.CA = pki.Fingerprint(d.Offer.CA)
	}
	now := d.Now()
	j := records.Join{TokenHash: hashOf(t.Secret), Project: project, Instance: instance, Created: now, Expires: now.Add(life)}
	if err := d.Records.CreateJoin(ctx, j); err != nil {
		return "", time.Time{}, coffer.Wrap(op, err)
	}
	return t.String(), j.Expires, nil
}

// Redeem lets an agent in. Whoever holds the token's secret first wins: another agent
// is KindConflict, a late one KindForbidden, an unknown token KindNotFound. The same
// agent may ask again while the token lasts, and gets a new password each time.
func (d *Desk) Redeem(ctx context.Context, r rest.Redeem) (rest.Joined, error) {
	const op = "let an agent in"
	agent, err := AgentID(r.AgentKey)
	if err != nil {
		return rest.Joined{}, err
	}
	j, err := d.Records.RedeemJoin(ctx, hashOf(r.Secret), agent, d.Now())
	if err != nil {
		return rest.Joined{}, err
	}
	if !d.Now().Before(j.Expires) { // also for who has used it: an agent that was dismissed stays out
		return rest.Joined{}, coffer.E(coffer.KindForbidden, op, "the token has expired").WithHint("ask for a new token")
	}
	if j.Instance != "" {
		if err := d.entrust(ctx, j, agent); err != nil {
			return rest.Joined{}, coffer.Wrap(op, err)
		}
	}
	mine, err := d.instances(ctx, agent)
	if err != nil {
		return rest.Joined{}, coffer.Wrap(op, err)
	}
	who := Who{Agent: agent, Host: j.Instance == ""}
	out := d.offer(who, j)
	out.Password = secret()
	if err := d.Accounts.Ensure(ctx, who, out.Password, mine); err != nil {
		return rest.Joined{}, coffer.Wrap(op, err)
	}
	return out, nil
}

// entrust gives the instance to the agent that was invited for it.
func (d *Desk) entrust(ctx context.Context, j records.Join, agent coffer.AgentID) error {
	in, err := d.Records.InstanceByID(ctx, j.Instance)
	if err != nil {
		return err
	}
	switch {
	case in.Deleted || in.Project != j.Project:
		return coffer.E(coffer.KindNotFound, "find the instance", "instance %s was deleted", j.Instance)
	case in.Agent == agent:
		return nil
	case in.Agent != "":
		return coffer.E(coffer.KindConflict, "give the instance to its agent", "another agent looks after instance %s", j.Instance)
	}
	in.Agent, in.Updated = agent, d.Now()
	return d.Records.UpdateInstance(ctx, in)
}

func (d *Desk) instances(ctx context.Context, agent coffer.AgentID) ([]coffer.InstanceID, error) {
	rows, err := d.Records.InstancesOfAgent(ctx, agent)
	ids := make([]coffer.InstanceID, 0, len(rows))
	for _, in := range rows {
		ids = append(ids, in.ID)
	}
	return ids, err
}

// Grant lets an agent's account reach the topics of all instances that it looks
// after now; the conductor calls it when one has come. An agent that did not join
// this way has an account of the operator's, who sets its rights.
func (d *Desk) Grant(ctx context.Context, agent coffer.AgentID) error {
	mine, err := d.instances(ctx, agent)
	if err != nil {
		return coffer.Wrap("list an agent's instances", err)
	}
	for _, who := range []Who{{Agent: agent}, {Agent: agent, Host: true}} {
		if err := d.Accounts.Grant(ctx, who, mine); err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
			return err
		}
	}
	return nil
}

// Dismiss ends an agent's account and closes its connections. Its instances stay, and
// nobody looks after them.
func (d *Desk) Dismiss(ctx context.Context, agent coffer.AgentID) error {
	for _, who := range []Who{{Agent: agent}, {Agent: agent, Host: true}} {
		if err := d.Accounts.Remove(ctx, who); err != nil {
			return coffer.Wrap("dismiss the agent", err)
		}
	}
	return nil
}

func (d *Desk) offer(who Who, j records.Join) rest.Joined {
	o := d.Offer
	out := rest.Joined{
		Agent: who.Agent, Host: who.Host, Project: j.Project, Instance: j.Instance, Account: who.Account(), ReplyPrefix: who.ReplyPrefix(),
		Brokers: o.Brokers, TLS: o.TLS, VHost: o.VHost, Exchange: o.Exchange, VerifyKeys: o.VerifyKeys, Stores: o.Stores, DefaultStore: o.DefaultStore,
	}
	if o.CA != nil {
		out.CA = pki.PEM(o.CA)
	}
	return out
}

// secret is 256 random bits as text.
func secret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte("coffer: a join token\x00" + secret))
	return hex.EncodeToString(sum[:])
}
