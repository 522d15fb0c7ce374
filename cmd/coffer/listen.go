package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/taskmanager"
	"github.com/cofferdb/coffer/rest"
)

// listenFlags are where and for whom the API answers.
type listenFlags struct {
	Listen   string `placeholder:"127.0.0.1:8779" help:"Address of the API; port 0 picks a free one."`
	Cert     string `type:"path" placeholder:"FILE" help:"TLS certificate of the API, with its chain."`
	Key      string `type:"path" placeholder:"FILE" help:"Its private key (mode 0600)."`
	Insecure bool   `help:"Let the API answer in plain HTTP on addresses other than loopback."`
	Tokens   string `type:"path" placeholder:"FILE" help:"Tokens of other callers, one JSON line each (mode 0600)."`
	Quota    *int   `placeholder:"-1" help:"Backups that a project may keep; below 0 is no limit."`
}

// over puts what was given over the configuration.
func (f listenFlags) over(c *config.API) {
	given(&c.Listen, f.Listen)
	given(&c.CertFile, f.Cert)
	given(&c.KeyFile, f.Key)
	given(&c.TokensFile, f.Tokens)
	c.Insecure = c.Insecure || f.Insecure
	if f.Quota != nil {
		c.Quota = *f.Quota
	}
}

// listener is where the API answers.
type listener struct {
	net.Listener
	tls   *pki.Files // nil is plain HTTP
	ca    string
	drain time.Duration
}

// listen opens the address. Plain HTTP off loopback was refused by the check.
func listen(c config.Config) (*listener, error) {
	l := &listener{drain: c.API.Drain}
	if files, on := c.APITLS(); on {
		l.tls, l.ca = &pki.Files{Cert: files.CertFile, Key: files.KeyFile}, c.TLS.CAFile
	}
	var err error
	if l.Listener, err = net.Listen("tcp", c.API.Listen); err != nil {
		return nil, coffer.E(coffer.KindUnavailable, "listen on "+c.API.Listen, "%w", err).
			WithHint("choose another address with --listen, or listen in [api]")
	}
	return l, nil
}

// url is the address for a caller of this machine.
func (l *listener) url() string {
	scheme := "http"
	if l.tls != nil {
		scheme = "https"
	}
	a := l.Addr().(*net.TCPAddr)
	if a.IP.IsUnspecified() {
		return scheme + "://" + net.JoinHostPort("localhost", strconv.Itoa(a.Port))
	}
	return scheme + "://" + a.String()
}

// serve serves until ctx ends, then lets running requests finish for a while.
func (l *listener) serve(ctx context.Context, h http.Handler, log *slog.Logger) error {
	s := api.Server(h, log)
	end := make(chan error, 1)
	run := func() error { return s.Serve(l) }
	if l.tls != nil {
		var err error
		if s.TLSConfig, err = pki.ServerTLS(*l.tls); err != nil {
			l.Close()
			return err
		}
		run = func() error { return s.ServeTLS(l, "", "") }
	}
	go func() { end <- run() }()
	select {
	case err := <-end:
		return coffer.Wrap("serve the API", err)
	case <-ctx.Done():
	}
	sctx, stop := context.WithTimeout(context.WithoutCancel(ctx), l.drain)
	defer stop()
	if err := s.Shutdown(sctx); err != nil {
		s.Close()
	}
	<-end
	return nil
}

// handler makes the API for the callers of the tokens' file and those in own.
func (p *parts) handler(s settings, own ...auth.Entry) (http.Handler, error) {
	who, err := auth.NewStatic(own)
	if err != nil {
		return nil, err
	}
	known := callers{who}
	c := s.Config.API
	if c.TokensFile != "" {
		more, err := auth.LoadStatic(c.TokensFile)
		if err != nil {
			return nil, err
		}
		known = append(known, more)
	}
	cfg := api.Config{
		Records: p.db, Bus: p.bus, Auth: known, Prober: p.stores, Importer: p.stores, Placer: p.stores,
		Stores: p.stores.names(), Quota: c.Quota, HostCap: s.Config.TaskManager.MaxJobsPerHost, Region: c.Region, BaseURL: c.BaseURL, DefaultContainer: c.Container, Log: s.Log, Now: clock,
	}
	if p.sweeps != nil {
		cfg.Sweeper = sweeper{p.sweeps}
	}
	if p.desk != nil {
		cfg.Enrol = p.desk
	}
	if p.recipients > 0 {
		cfg.Keys = p.ring
	}
	return api.New(cfg), nil
}

// callers asks one authenticator after another; the last one's refusal counts.
type callers []auth.Authenticator

// Authenticate is the first caller that any of them knows.
func (c callers) Authenticate(ctx context.Context, r *http.Request) (who auth.Caller, err error) {
	for _, a := range c {
		if who, err = a.Authenticate(ctx, r); err == nil {
			return who, nil
		}
	}
	return who, err
}

// sweeper gives the API the task manager's sweep.
type sweeper struct{ t *taskmanager.TaskManager }

// Sweep is one pass.
func (s sweeper) Sweep(ctx context.Context) (rest.Sweep, error) {
	r, err := s.t.Sweep(ctx)
	return rest.Sweep{
		Places: r.Places, Wiped: r.Wiped, Forgotten: r.Forgotten, Waiting: r.Waiting, Kept: r.Kept, Strangers: r.Strangers,
	}, err
}
