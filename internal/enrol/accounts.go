package enrol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// Accounts keeps the agents' accounts at the broker.
type Accounts interface {
	// Ensure makes the account, or gives it a new password, and lets it reach its own
	// topics alone.
	Ensure(ctx context.Context, who Who, password string, instances []coffer.InstanceID) error
	// Grant sets which instances' topics the account may reach. KindNotFound if there
	// is no such account.
	Grant(ctx context.Context, who Who, instances []coffer.InstanceID) error
	// Remove ends the account; one that is gone is no error.
	Remove(ctx context.Context, who Who) error
}

// RabbitMQ keeps accounts by the broker's management interface.
type RabbitMQ struct {
	url, user, password string
	vhost, exchange     string
	http                *http.Client
}

var _ Accounts = (*RabbitMQ)(nil)

// RabbitMQConfig says how to reach the management interface, as an administrator.
type RabbitMQConfig struct {
	URL            string // "https://rabbit.example:15671"
	User, Password string
	VHost          string // "" is "/"
	Exchange       string // the control exchange
	HTTP           *http.Client
	Insecure       bool // plain HTTP off loopback
}

// The bounds of one account.
const (
	maxConnections = 4
	maxChannels    = 4096 // one for each topic that is served
)

// NewRabbitMQ refuses to send passwords in plain text to another machine.
func NewRabbitMQ(c RabbitMQConfig) (*RabbitMQ, error) {
	const op = "reach the broker's management"
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, coffer.E(coffer.KindInvalid, op, "%q is no address", c.URL).WithHint("it looks like https://rabbit.example:15671")
	}
	if !secure(u, c.Insecure) {
		return nil, coffer.E(coffer.KindInvalid, op, "%s would carry passwords in plain text", c.URL).WithHint("use https, or an address of this machine")
	}
	if c.Exchange == "" {
		return nil, coffer.E(coffer.KindInvalid, op, "no exchange is named")
	}
	if c.VHost == "" {
		c.VHost = "/"
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	return &RabbitMQ{url: strings.TrimSuffix(c.URL, "/"), user: c.User, password: c.Password, vhost: c.VHost, exchange: c.Exchange, http: c.HTTP}, nil
}

// secure reports whether u does not leave the machine in plain text.
func secure(u *url.URL, insecure bool) bool {
	host := u.Hostname()
	ip := net.ParseIP(host)
	return u.Scheme == "https" || insecure || host == "localhost" || ip != nil && ip.IsLoopback()
}

// Ensure makes the account. Its rights on the exchange's keys come before those on
// names, since an account without the former may use every key.
func (r *RabbitMQ) Ensure(ctx context.Context, who Who, password string, instances []coffer.InstanceID) error {
	if _, err := rightsOf(who, instances, r.exchange); err != nil {
		return err
	}
	if err := r.put(ctx, "users", who.Account(), map[string]any{"password": password, "tags": ""}); err != nil {
		return err
	}
	return r.Grant(ctx, who, instances)
}

// Grant writes the account's patterns and bounds.
func (r *RabbitMQ) Grant(ctx context.Context, who Who, instances []coffer.InstanceID) error {
	p, err := rightsOf(who, instances, r.exchange)
	if err != nil {
		return err
	}
	name := who.Account()
	for _, step := range []struct {
		what string
		path []string
		body map[string]any
	}{
		{"topic-permissions", []string{r.vhost, name}, map[string]any{"exchange": r.exchange, "write": p.topicWrite, "read": p.topicRead}},
		{"user-limits", []string{name, "max-connections"}, map[string]any{"value": maxConnections}},
		{"user-limits", []string{name, "max-channels"}, map[string]any{"value": maxChannels}},
		{"permissions", []string{r.vhost, name}, map[string]any{"configure": p.configure, "write": p.write, "read": p.read}},
	} {
		if err := r.do(ctx, http.MethodPut, append([]string{step.what}, step.path...), step.body); err != nil {
			return err
		}
	}
	return nil
}

// Remove ends the account and closes its connections.
func (r *RabbitMQ) Remove(ctx context.Context, who Who) error {
	if !plain(string(who.Agent)) {
		return coffer.E(coffer.KindInvalid, "remove an account", "%q is no agent's id", who.Agent)
	}
	err := r.do(ctx, http.MethodDelete, []string{"connections", "username", who.Account()}, nil)
	if err == nil || coffer.IsKind(err, coffer.KindNotFound) {
		err = r.do(ctx, http.MethodDelete, []string{"users", who.Account()}, nil)
	}
	if coffer.IsKind(err, coffer.KindNotFound) {
		return nil
	}
	return err
}

func (r *RabbitMQ) put(ctx context.Context, what, name string, body any) error {
	return r.do(ctx, http.MethodPut, []string{what, name}, body)
}

func (r *RabbitMQ) do(ctx context.Context, method string, path []string, body any) error {
	const op = "keep an agent's account at the broker"
	b, err := json.Marshal(body)
	if err != nil {
		return coffer.E(coffer.KindInternal, op, "%w", err)
	}
	address := r.url + "/api"
	for _, p := range path {
		address += "/" + url.PathEscape(p)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(b))
	if err != nil {
		return coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	req.SetBasicAuth(r.user, r.password)
	req.Header.Set("Content-Type", "application/json")
	res, err := r.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return coffer.E(coffer.KindUnavailable, op, "%w", err).WithHint("is the broker's management interface at %s?", r.url)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 512))
	if err != nil {
		return coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	return answered(op, res, text)
}

func answered(op string, res *http.Response, text []byte) error {
	switch s := res.StatusCode; {
	case s < 300:
		return nil
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		// Nothing that the agent did: it may ask again when the operator has looked.
		return coffer.E(coffer.KindUnavailable, op, "the broker refuses the control plane's own account: %s", res.Status).
			WithHint("it needs the tag administrator at the broker")
	case s == http.StatusNotFound, s == http.StatusBadRequest && bytes.Contains(text, []byte("user_not_found")):
		return coffer.E(coffer.KindNotFound, op, "the broker answers %s", res.Status)
	default:
		return coffer.E(coffer.KindUnavailable, op, "the broker answers %s: %s", res.Status, text)
	}
}
