package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// Enrolment lets agents of other machines in.
type Enrolment interface {
	// Invite makes a token that works once, for the agent beside instance, or with ""
	// for a host agent. life 0 is the default.
	Invite(ctx context.Context, project coffer.ProjectID, instance coffer.InstanceID, life time.Duration) (token string, expires time.Time, err error)
	// Redeem lets the agent in that holds a token's secret.
	Redeem(ctx context.Context, r rest.Redeem) (rest.Joined, error)
	// Dismiss ends an agent's account and closes its connections.
	Dismiss(ctx context.Context, agent coffer.AgentID) error
}

// redeemPath has the one request that needs no caller: the secret in its body is all
// that an agent has before it joins.
const redeemPath = ownPrefix + "/joins/redeem"

// VersionID is the id by which Trove's clients know a version of a datastore.
func VersionID(d coffer.Datastore) string { return versionID(d) }

// invite makes a join token and, unless it is for a host agent, the instance that the
// agent will look after. It stays BUILD until the agent has looked.
func (a *api) invite(r request) (reply, error) {
	const op = "invite an agent"
	var body rest.InviteBody
	if err := ownBody(r.Request, &body); err != nil {
		return reply{}, err
	}
	want := body.Join
	if !r.caller.Admin {
		return reply{}, coffer.E(coffer.KindForbidden, op, "only an admin may")
	}
	if a.Enrol == nil {
		return reply{}, coffer.E(coffer.KindUnsupported, op, "agents of other machines cannot join this server").
			WithHint("they join through RabbitMQ: configure [bus] and [enrol]")
	}
	if want.Life < 0 || want.Life > int(maxLife/time.Second) {
		return reply{}, coffer.E(coffer.KindInvalid, op, "a token cannot work for %d s", want.Life)
	}
	life := time.Duration(want.Life) * time.Second
	if want.Host {
		if want.Name != "" || want.Conn != (coffer.Conn{}) {
			return reply{}, coffer.E(coffer.KindInvalid, op, "a host agent is invited without a database").
				WithHint("register the databases of its machine afterwards, with --agent")
		}
		token, expires, err := a.Enrol.Invite(r.Context(), r.project(), "", life)
		if err != nil {
			return reply{}, err
		}
		return reply{http.StatusCreated, rest.InvitationBody{Join: rest.Invitation{Token: token, ExpiresAt: expires.UTC()}}}, nil
	}
	return a.inviteBeside(r, want, life)
}

// maxLife bounds a token's life before it is multiplied.
const maxLife = 7 * 24 * time.Hour

func (a *api) inviteBeside(r request, want rest.Invite, life time.Duration) (reply, error) {
	if err := checkRegister(rest.Register{Name: want.Name, Conn: want.Conn}); err != nil {
		return reply{}, err
	}
	if len(a.Stores) == 0 {
		return reply{}, coffer.E(coffer.KindUnsupported, "invite an agent", "this server has no store for backups").
			WithHint("name one in its configuration")
	}
	in := coffer.Instance{
		ID: coffer.InstanceID(coffer.NewUUID()), Project: r.project(), Name: want.Name, Kind: coffer.Registered,
		Conn: want.Conn, Status: "BUILD", Created: a.Now(),
	}
	if a.Keys != nil {
		var err error
		if in.Key, in.Recipient, err = a.Keys.NewDataKey(r.Context(), a.Stores[0], in.Project, in.ID); err != nil {
			return reply{}, coffer.Wrap("make the instance's data key", err)
		}
	}
	if err := a.Records.CreateInstance(r.Context(), in); err != nil {
		return reply{}, err
	}
	token, expires, err := a.Enrol.Invite(r.Context(), in.Project, in.ID, life)
	if err != nil {
		return reply{}, err
	}
	in.Updated = in.Created
	view := ownInstanceView(in)
	return reply{http.StatusCreated, rest.InvitationBody{Join: rest.Invitation{Token: token, ExpiresAt: expires.UTC(), Instance: &view}}}, nil
}

// dismiss ends an agent's account, whether it was ever heard or not. It stays in the
// list of those that were.
func (a *api) dismiss(r request) (reply, error) {
	const op = "dismiss the agent"
	if !r.caller.Admin {
		return reply{}, coffer.E(coffer.KindForbidden, op, "only an admin may")
	}
	if a.Enrol == nil {
		return reply{}, coffer.E(coffer.KindUnsupported, op, "this server keeps no accounts of agents")
	}
	return reply{status: http.StatusNoContent}, a.Enrol.Dismiss(r.Context(), coffer.AgentID(r.PathValue("id")))
}

// redeem answers an agent that joins.
func (a *api) redeem(w http.ResponseWriter, r *http.Request) {
	out, err := a.joined(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	a.write(w, r, http.StatusOK, out)
}

func (a *api) joined(r *http.Request) (rest.Joined, error) {
	if r.Method != http.MethodPost || a.Enrol == nil {
		return rest.Joined{}, errNoRoute()
	}
	var body rest.Redeem
	if err := ownBody(r, &body); err != nil {
		return rest.Joined{}, err
	}
	return a.Enrol.Redeem(r.Context(), body)
}
