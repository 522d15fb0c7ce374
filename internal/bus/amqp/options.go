package amqp

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/retry"
)

// Options say where the broker is and how to speak there. Hosts and User must be
// given; every other zero value is useful.
type Options struct {
	Hosts          []string // host:port, tried in turn
	User, Password string
	VHost          string      // "" is "/"
	TLS            *tls.Config // nil is plain TCP; ServerName is set for each host when empty

	Exchange string // Trove's control_exchange; "" is "trove"
	HostName string // the server part of a Serve that names none; "" is none
	Version  string // of what is served: a request's major must be the same, its minor no greater; "" is "1.0"

	Keys     Keys         // encrypts args and context; nil is plain
	SelfID   string       // an agent's instance: what it sends names this id, so that the conductor finds the key
	Signer   bus.Signer   // signs verbs to agents; nil signs none
	Verifier bus.Verifier // refuses unsigned verbs to agents; nil takes all
	Stamp    Stamper      // adds to what is sent; nil adds nothing
	UserID   bool         // stamp every message with User, which the broker checks: Message.From at the other end

	// What an account that holds an agent to its own names needs: reply queues whose
	// names begin so ("" is "reply_"), and an exchange that others have declared.
	ReplyPrefix string
	Exists      bool // the exchange is looked for and not declared

	Durable     bool          // exchange and shared queues as a Trove with amqp_durable_queues has them
	KeepQueues  bool          // leave queues when Serve ends, as Trove does: casts then wait there
	CastExpires time.Duration // how long a cast may wait in a queue; 0 is 60 s
	MaxMessage  int           // longest body in bytes, either way; 0 is 1 MiB
	Prefetch    int           // messages a Serve holds, the one it handles among them; 0 is 1
	PerLink     int           // Serves on one connection; 0 is 1000

	Backoff retry.Policy // between two tries to connect; zero is 100 ms to 5 s
	Log     *slog.Logger // nil is slog.Default
}

// Stamper decides what a message carries beside its body.
type Stamper func(ctx context.Context, to bus.Target, method string, body json.RawMessage) Stamp

// Stamp is what one message carries beside its body.
type Stamp struct {
	Version string         // the method's version; "" is "1.0"
	Context map[string]any // context values by their oslo names, e.g. "trove_notification"; they win over the defaults
}

func (o Options) withDefaults() Options {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	num := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	def(&o.VHost, "/")
	def(&o.Exchange, "trove")
	def(&o.Version, "1.0")
	def(&o.ReplyPrefix, "reply_")
	num(&o.MaxMessage, 1<<20)
	num(&o.Prefetch, 1)
	num(&o.PerLink, 1000)
	if o.CastExpires <= 0 {
		o.CastExpires = time.Minute
	}
	if o.Backoff.Max <= 0 {
		o.Backoff.Max = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// ParseURL reads a transport_url as oslo.messaging has it:
// rabbit://user:password@host:port,user:password@host2:port/vhost. The schemes amqp
// and amqps mean the same; amqps, or ?ssl=1, sets TLS.
func ParseURL(s string) (Options, error) {
	const op = "read the broker's URL"
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme != "rabbit" && scheme != "amqp" && scheme != "amqps" {
		return Options{}, coffer.E(coffer.KindInvalid, op, "it does not begin with rabbit://, amqp:// or amqps://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, vhost, _ := strings.Cut(rest, "/")
	var o Options
	values, err := url.ParseQuery(query)
	if err != nil {
		return Options{}, coffer.E(coffer.KindInvalid, op, "its query cannot be read")
	}
	port := "5672"
	if ssl := values.Get("ssl"); scheme == "amqps" || ssl == "1" || strings.EqualFold(ssl, "true") {
		o.TLS, port = &tls.Config{MinVersion: tls.VersionTLS12}, "5671"
	}
	if o.VHost, err = url.PathUnescape(vhost); err != nil {
		return Options{}, coffer.E(coffer.KindInvalid, op, "its vhost cannot be read")
	}
	for _, h := range strings.Split(hosts, ",") {
		// An error of package url would show the password.
		u, err := url.Parse("amqp://" + h)
		if err != nil || u.Hostname() == "" {
			return Options{}, coffer.E(coffer.KindInvalid, op, "host number %d cannot be read", len(o.Hosts)+1)
		}
		password, _ := u.User.Password()
		if len(o.Hosts) > 0 && u.User != nil && (u.User.Username() != o.User || password != o.Password) {
			return Options{}, coffer.E(coffer.KindInvalid, op, "its hosts have different accounts")
		}
		if u.User != nil {
			o.User, o.Password = u.User.Username(), password
		}
		p := u.Port()
		if p == "" {
			p = port
		}
		o.Hosts = append(o.Hosts, net.JoinHostPort(u.Hostname(), p))
	}
	return o, nil
}
