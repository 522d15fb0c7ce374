package client

import (
	"context"
	"net/http"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// Invite makes a token with which one agent of another machine joins.
func (c *Client) Invite(ctx context.Context, r rest.Invite) (rest.Invitation, error) {
	var out rest.InvitationBody
	err := c.do(ctx, "invite an agent", call{method: http.MethodPost, path: "/joins", own: true, body: rest.InviteBody{Join: r}}, &out)
	return out.Join, err
}

// Dismiss ends an agent's account at the broker and closes its connections.
func (c *Client) Dismiss(ctx context.Context, a coffer.AgentID) error {
	return c.do(ctx, "dismiss the agent", call{method: http.MethodDelete, path: "/agents" + id(a), own: true}, nil)
}

// Redeem joins as an agent, with no other right than the token's secret. h decides
// which server is trusted. KindNotFound is an unknown token, KindForbidden an expired
// one, KindConflict one that another agent has used.
func Redeem(ctx context.Context, h *http.Client, url string, r rest.Redeem) (rest.Joined, error) {
	// Where a project stands in other paths there is the word "joins".
	c, err := New(Config{URL: url, Project: "joins", HTTP: h})
	if err != nil {
		return rest.Joined{}, err
	}
	var out rest.Joined
	err = c.do(ctx, "redeem the join token", call{method: http.MethodPost, path: "/redeem", own: true, body: r}, &out)
	return out, err
}
