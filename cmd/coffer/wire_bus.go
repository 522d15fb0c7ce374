package main

import (
	"cmp"
	"context"
	"net"
	"os"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/bus/unix"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/enrol"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/sign"
)

// openBus makes the bus that the configuration names, and what closes it. A broker
// that is away is waited for by whoever uses it.
func openBus(s settings) (bus.Bus, func() error, error) {
	switch c := s.Config.Bus; c.Kind {
	case config.Local:
		return local.New(local.WithLog(s.Log)), func() error { return nil }, nil
	case config.Socket:
		b := unix.Dial(c.Hosts[0], s.Log)
		return b, b.Close, nil
	case config.AMQP:
		b, err := openAMQP(s)
		if err != nil {
			return nil, nil, coffer.Wrap("open the bus", err)
		}
		return b, b.Close, nil
	default:
		return nil, nil, coffer.E(coffer.KindInvalid, "open the bus", "there is no bus %q", c.Kind)
	}
}

func openAMQP(s settings) (*amqp.Bus, error) {
	c := s.Config.Bus
	files, on := s.Config.BusTLS()
	t, err := clientTLS(files, on)
	if err != nil {
		return nil, err
	}
	o := amqp.Options{
		User: c.User, Password: c.Password.Reveal(), VHost: c.VHost, TLS: t, Exchange: c.Exchange, Hosts: withPorts(c.Hosts, on),
		Durable: c.Durable, UserID: true, Keys: troveKeys(c), SelfID: c.TroveInstance, Log: s.Log,
	}
	if who, ok := enrol.AgentOf(c.User); ok { // the account is held to its own names
		o.ReplyPrefix, o.Exists = who.ReplyPrefix(), true
	}
	if o.HostName, err = os.Hostname(); err != nil {
		return nil, coffer.E(coffer.KindInternal, "name this machine", "%w", err)
	}
	if err := vouch(&o, s); err != nil {
		return nil, err
	}
	troveOptions(&o, s)
	tuneBus(&o)
	return amqp.New(o)
}

// withPorts gives hosts without a port the usual one.
func withPorts(hosts []string, tls bool) []string {
	port := "5672"
	if tls {
		port = "5671"
	}
	out := make([]string, len(hosts))
	for i, h := range hosts {
		if out[i] = h; h == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			out[i] = net.JoinHostPort(strings.Trim(h, "[]"), port)
		}
	}
	return out
}

// vouch signs what the control plane tells agents, and has an agent believe that
// only.
func vouch(o *amqp.Options, s settings) error {
	k := s.Config.Keys
	if k.SigningKeyFile != "" && s.Role != config.RoleAgent && s.Role != config.RoleConductor {
		signer, err := sign.Load(k.SigningKeyFile, clock)
		if err != nil {
			return err
		}
		o.Signer = signer
	}
	if k.VerifyKeyFile != "" && (s.Role == config.RoleAgent || s.Role == config.RoleServer) {
		keys, err := sign.LoadPublic(k.VerifyKeyFile)
		if err != nil {
			return err
		}
		if o.Verifier, err = sign.NewVerifier(keys, clock); err != nil {
			return err
		}
	}
	return nil
}

// keys are Trove's RPC keys as the configuration has them.
type keys struct {
	tasks, self string
	instances   map[string]string
}

var _ amqp.Keys = keys{}

// troveKeys is nil, which is plain, where none are given.
func troveKeys(c config.Bus) amqp.Keys {
	if c.TroveTaskManagerKey.Zero() && c.TroveInstanceKeys.Zero() {
		return nil
	}
	k := keys{tasks: c.TroveTaskManagerKey.Reveal(), self: c.TroveInstance, instances: map[string]string{}}
	for line := range strings.Lines(c.TroveInstanceKeys.Reveal()) {
		if f := strings.Fields(line); len(f) == 2 {
			k.instances[f[0]] = f[1]
		}
	}
	return k
}

// To is the key of a topic.
func (k keys) To(_ context.Context, topic string) (string, error) {
	id, guest := strings.CutPrefix(topic, message.GuestAgent("").Topic)
	switch {
	case guest:
		return k.instances[cmp.Or(id, k.self)], nil
	case topic == message.TaskManager.Topic:
		return k.tasks, nil
	}
	return k.instances[k.self], nil
}

// Of is the key of an instance.
func (k keys) Of(_ context.Context, id string) (string, error) { return k.instances[id], nil }
