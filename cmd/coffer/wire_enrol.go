package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/http"
	"slices"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/enrol"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/sign"
)

// senders says whose account an agent's is; nil believes everybody, on a bus that
// nobody else can reach or that the configuration trusts.
func senders(c config.Bus) func(account string) (coffer.AgentID, bool, bool) {
	if c.Kind != config.AMQP || c.Trusted {
		return nil
	}
	return func(account string) (coffer.AgentID, bool, bool) {
		who, ok := enrol.AgentOf(account)
		return who.Agent, who.Host, ok
	}
}

// openDesk makes the desk at which agents of other machines join; nil where none can.
func (p *parts) openDesk(s settings) (*enrol.Desk, error) {
	c := s.Config
	if c.Enrol.ManagementURL == "" || p.db == nil {
		return nil, nil
	}
	password := c.Enrol.Password
	if password.Zero() {
		password = c.Bus.Password
	}
	ca := cmp.Or(c.Enrol.CAFile, c.TLS.CAFile)
	t, err := pki.ClientTLS(pki.Files{CA: ca})
	if err != nil {
		return nil, err
	}
	accounts, err := enrol.NewRabbitMQ(enrol.RabbitMQConfig{
		URL: c.Enrol.ManagementURL, User: cmp.Or(c.Enrol.User, c.Bus.User), Password: password.Reveal(),
		VHost: c.Bus.VHost, Exchange: c.Bus.Exchange, HTTP: httpClient(t), Insecure: c.Enrol.Insecure,
	})
	if err != nil {
		return nil, err
	}
	offer, err := openOffer(c, ca, p.stores.first)
	if err != nil {
		return nil, err
	}
	return &enrol.Desk{Records: p.db, Accounts: accounts, Offer: offer, Now: clock}, nil
}

// openOffer is what every agent that joins is told.
func openOffer(c config.Config, ca, first string) (o enrol.Offer, err error) {
	_, on := c.BusTLS()
	o = enrol.Offer{
		URL: cmp.Or(c.Enrol.URL, c.API.BaseURL), Brokers: withPorts(c.Enrol.Brokers, on), TLS: on,
		VHost: c.Bus.VHost, Exchange: c.Bus.Exchange, Stores: map[string]map[string]string{}, DefaultStore: first,
	}
	if len(o.Brokers) == 0 {
		o.Brokers = withPorts(c.Bus.Hosts, on)
	}
	if ca != "" {
		if o.CA, err = pki.ReadCert(ca); err != nil {
			return o, err
		}
	}
	for name, st := range c.Stores {
		o.Stores[name] = storeOffer(st)
	}
	o.VerifyKeys, err = verifyKeys(c.Keys)
	return o, err
}

// verifyKeys are what agents shall believe: the key that signs now, and those that
// the operator names beside it.
func verifyKeys(k config.Keys) (out []string, err error) {
	if k.VerifyKeyFile != "" {
		if out, err = sign.LoadPublic(k.VerifyKeyFile); err != nil {
			return nil, err
		}
	}
	if k.SigningKeyFile != "" && exists(k.SigningKeyFile) {
		s, err := sign.Load(k.SigningKeyFile, clock)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, s.Public()) {
			out = append(out, s.Public())
		}
	}
	return out, nil
}

// activate adds what looks, through an agent that has just joined, at its database.
func (p *process) activate(s settings) {
	if s.Config.Enrol.ManagementURL == "" || p.parts.tasks == nil {
		return
	}
	a := &enrol.Activator{
		Records: p.parts.db, Bus: p.parts.bus, Prober: p.parts.stores, Store: p.parts.stores.first,
		VersionID: api.VersionID, Log: s.Log, Now: clock,
	}
	p.serve("enrolment", true, func(ctx context.Context) error { return a.Run(ctx, p.tell) })
}

// httpClient follows no redirect: one could lead a secret to another machine.
func httpClient(t *tls.Config) *http.Client {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = t
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
