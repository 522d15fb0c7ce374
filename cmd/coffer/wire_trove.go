package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/trovelink"
)

// guest reports whether this process is the guest agent of one of Trove's instances.
func (s settings) guest() bool {
	return s.Role == config.RoleAgent && s.Config.Agent.Profile == config.ProfileTrove
}

// hasGuests reports whether it is a part of a control plane over Trove's guests.
func (s settings) hasGuests() bool { return s.Role != config.RoleAgent && s.Config.Trove.Guests }

// reportWait is how long a guest's report may wait in the queue of Trove's conductor.
const reportWait = 7 * 24 * time.Hour

// troveOptions is how either of Trove's sides is spoken to: in its versions, with its
// request's context, and over queues that stay, since what Trove's own processes send
// to nobody is lost.
func troveOptions(o *amqp.Options, s settings) {
	if !s.guest() && !s.hasGuests() {
		return
	}
	o.Version, o.KeepQueues = trovelink.GuestVersion, true
	o.Stamp = func(ctx context.Context, _ bus.Target, _ string, _ json.RawMessage) amqp.Stamp {
		return amqp.Stamp{Context: trovelink.Context(ctx)}
	}
	if s.guest() {
		o.CastExpires = reportWait
	}
	if o.Keys == nil {
		o.SelfID = "" // RPC is plain
	}
}

// newGuest makes Trove's guest agent.
func newGuest(s settings, b bus.Bus) (*trovelink.Guest, error) {
	c := s.Config.Agent
	conn, err := c.Conn()
	if err != nil {
		return nil, err
	}
	all, err := newEngines(s)
	if err != nil {
		return nil, err
	}
	eng, err := all.Engine(conn)
	if err != nil {
		return nil, err
	}
	h, err := troveHTTP(s.Config.TLS.CAFile)
	if err != nil {
		return nil, err
	}
	dir := s.State.path("trove")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, coffer.E(coffer.KindForbidden, "make the state folder", "%w", err)
	}
	opt := bounds(c)
	opt.SpoolDir, opt.SpoolBytes = s.State.path("spool"), int64(c.SpoolBytes)
	return &trovelink.Guest{
		Instance: coffer.InstanceID(s.Config.Bus.TroveInstance), Bus: b, Engine: eng, Options: opt, HTTP: h, Dir: dir,
		Region: c.TroveRegion, ContextOf: amqp.ContextOf, StopWait: c.StopWait, Now: clock, Log: s.Log,
	}, nil
}

// newControl makes what a control plane needs to have Trove's guests.
func newControl(s settings, db trovelink.Records) (*trovelink.Control, error) {
	c := s.Config.Trove
	h, err := troveHTTP(cmp.Or(c.CAFile, s.Config.TLS.CAFile))
	if err != nil {
		return nil, err
	}
	k := trovelink.Keystone{
		URL: keystoneURL(c.AuthURL), User: c.User, Domain: c.UserDomain, PasswordFile: c.PasswordFile, Region: c.Region, HTTP: h,
	}
	return &trovelink.Control{Records: db, Login: k.Login, Now: clock, Log: s.Log}, nil
}

func troveHTTP(ca string) (*http.Client, error) {
	t, err := pki.ClientTLS(pki.Files{CA: ca})
	if err != nil {
		return nil, err
	}
	return httpClient(t), nil
}

// keystoneURL is Keystone's address with the version of its API, which Trove's
// auth_url has or has not.
func keystoneURL(raw string) string {
	at := strings.TrimRight(raw, "/")
	if raw == "" || strings.HasSuffix(at, "/v3") {
		return at
	}
	return at + "/v3"
}
