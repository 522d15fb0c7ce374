package enrol

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/bus/local"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/sign"
	"github.com/cofferdb/coffer/rest"
)

const adminToken = "token-of-the-operator"

// ledger is the broker's accounts, in memory.
type ledger struct {
	mu       sync.Mutex
	password map[string]string
	may      map[string][]coffer.InstanceID
	err      error
}

var _ Accounts = (*ledger)(nil)

func (l *ledger) Ensure(_ context.Context, who Who, password string, instances []coffer.InstanceID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.password[who.Account()], l.may[who.Account()] = password, instances
	}
	return l.err
}

func (l *ledger) Grant(_ context.Context, who Who, instances []coffer.InstanceID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.password[who.Account()]; !ok {
		return coffer.E(coffer.KindNotFound, "grant", "no account")
	}
	l.may[who.Account()] = instances
	return l.err
}

func (l *ledger) Remove(_ context.Context, who Who) error {
	delete(l.password, who.Account())
	return nil
}

// plane is a control plane that speaks TLS with a CA of its own.
type plane struct {
	t      *testing.T
	db     *records.DB
	desk   *Desk
	ledger *ledger
	srv    *httptest.Server
	admin  *client.Client
	mu     sync.Mutex
	now    time.Time
}

func (p *plane) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *plane) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	p := &plane{t: t, now: time.Now(), ledger: &ledger{password: map[string]string{}, may: map[string][]coffer.InstanceID{}}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	p.db, err = records.Open(t.Context(), filepath.Join(t.TempDir(), "r.db"))
	must(err)
	t.Cleanup(func() { p.db.Close() })
	dir := t.TempDir()
	ca, err := pki.Init(filepath.Join(dir, "ca"), "test", time.Now())
	must(err)
	cert, err := ca.Issue(dir, pki.Request{Name: "api", Hosts: []string{"127.0.0.1"}})
	must(err)
	key, err := sign.Create(filepath.Join(dir, "sign.key"))
	must(err)
	p.desk = &Desk{Records: p.db, Accounts: p.ledger, Now: p.clock, Offer: Offer{
		CA: ca.Cert, Brokers: []string{"rabbit.example:5671"}, TLS: true, VHost: "/", Exchange: "trove", VerifyKeys: []string{sign.Public(key)},
		Stores: map[string]map[string]string{"main": {"kind": "file", "path": "/srv/backups"}}, DefaultStore: "main",
	}}
	who, err := auth.NewStatic([]auth.Entry{
		{Token: adminToken, Project: "p", User: "op", Roles: []string{"admin"}},
		{Token: "token-of-a-member", Project: "p", User: "m", Roles: []string{"member"}},
	})
	must(err)
	h := api.New(api.Config{
		Records: p.db, Bus: local.New(), Auth: who, Stores: []string{"main"}, Enrol: p.desk, Now: p.clock, Log: slog.New(slog.DiscardHandler),
	})
	p.srv = httptest.NewUnstartedServer(h)
	pair, err := tls.LoadX509KeyPair(cert.Cert, cert.Key) // httptest would lay a certificate of its own before ServerTLS's
	must(err)
	p.srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	p.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	p.srv.StartTLS()
	t.Cleanup(p.srv.Close)
	p.desk.Offer.URL = p.srv.URL
	p.admin = p.client(adminToken)
	return p
}

func (p *plane) client(token string) *client.Client {
	p.t.Helper()
	tr := &http.Transport{TLSClientConfig: pki.PinnedTLS("127.0.0.1", pki.Fingerprint(p.desk.Offer.CA), nil)}
	p.t.Cleanup(tr.CloseIdleConnections)
	c, err := client.New(client.Config{URL: p.srv.URL, Token: token, Project: "p", HTTP: &http.Client{Transport: tr}})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *plane) invite() rest.Invitation {
	p.t.Helper()
	out, err := p.admin.Invite(p.t.Context(), rest.Invite{Name: "shop", Conn: coffer.Conn{Socket: "/run/mysqld/mysqld.sock"}})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// The whole way: an instance that waits, a token, an agent's folder with what it needs
// and no more.
func TestJoin(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	inv := p.invite()
	if inv.Instance == nil || inv.Instance.Status != "BUILD" || inv.Instance.Agent != "" {
		t.Fatalf("%+v", inv)
	}
	dir := filepath.Join(t.TempDir(), "agent-state")
	j, err := Join(t.Context(), inv.Token, JoinOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	account := Who{Agent: j.Agent}.Account()
	want := rest.Joined{
		Agent: j.Agent, Project: "p", Instance: inv.Instance.ID, CA: pki.PEM(p.desk.Offer.CA), Brokers: []string{"rabbit.example:5671"},
		TLS: true, VHost: "/", Exchange: "trove", Account: account, Password: p.ledger.password[account],
		ReplyPrefix: "reply_" + string(j.Agent) + "_", VerifyKeys: p.desk.Offer.VerifyKeys, Stores: p.desk.Offer.Stores, DefaultStore: "main",
	}
	if diff := cmp.Diff(want, j); diff != "" {
		t.Error(diff)
	}
	in, err := p.db.InstanceByID(t.Context(), inv.Instance.ID)
	if err != nil || in.Agent != j.Agent || in.Status != "BUILD" {
		t.Errorf("%+v %v", in, err)
	}
	if diff := cmp.Diff([]coffer.InstanceID{in.ID}, p.ledger.may[account]); diff != "" {
		t.Error(diff)
	}
	for name, content := range map[string]string{
		"agent/id": string(j.Agent), "bus.password": j.Password, "ca.crt": "BEGIN CERTIFICATE", "verify.keys": j.VerifyKeys[0],
		"agent.toml": `user = "` + account + `"`, "agent/key": "",
	} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, fi, err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(b), content) {
			t.Errorf("%s holds %s (%v)", name, b, err)
		}
	}
	c, err := config.Load(filepath.Join(dir, Config), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b := c.Bus; b.Kind != config.AMQP || b.User != account || b.VHost != "/" || b.Exchange != "trove" || !b.TLS ||
		c.Agent.State != dir || c.Agent.Host || c.Stores["main"].Path != "/srv/backups" || c.Keys.VerifyKeyFile != filepath.Join(dir, "verify.keys") {
		t.Errorf("%+v", c)
	}
	b, err := os.ReadFile(filepath.Join(dir, Config))
	if err != nil || strings.Contains(string(b), j.Password) {
		t.Errorf("the password stands in the configuration: %v\n%s", err, b)
	}
}

// A token works once: for another agent it is used, for the same one it gives the same
// account and a new password; late and unknown ones are told apart.
func TestATokenWorksOnce(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	inv := p.invite()
	dir, other := t.TempDir(), t.TempDir()
	first, err := Join(t.Context(), inv.Token, JoinOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), inv.Token, JoinOptions{Dir: other}); !coffer.IsKind(err, coffer.KindConflict) {
		t.Errorf("a second agent: %v", err)
	}
	if _, err := os.Stat(filepath.Join(other, Config)); err == nil {
		t.Error("a refused agent has a configuration")
	}
	again, err := Join(t.Context(), inv.Token, JoinOptions{Dir: dir})
	if err != nil || again.Account != first.Account || again.Password == first.Password {
		t.Errorf("the same agent again: %+v %v", again, err)
	}
	if err := p.admin.Dismiss(t.Context(), first.Agent); err != nil || len(p.ledger.password) != 0 {
		t.Errorf("dismissed: %v, %v", p.ledger.password, err)
	}
	if err := p.client("token-of-a-member").Dismiss(t.Context(), first.Agent); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("a member dismisses: %v", err)
	}
	late := p.invite()
	p.pass(DefaultLife + time.Second)
	if _, err := Join(t.Context(), late.Token, JoinOptions{Dir: t.TempDir()}); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("a late one: %v", err)
	}
	if _, err := Join(t.Context(), inv.Token, JoinOptions{Dir: dir}); !coffer.IsKind(err, coffer.KindForbidden) || len(p.ledger.password) != 0 {
		t.Errorf("a dismissed agent with its old token: %v", err)
	}
	unknown, err := ParseToken(inv.Token)
	if err != nil {
		t.Fatal(err)
	}
	unknown.Secret = secret()
	if _, err := Join(t.Context(), unknown.String(), JoinOptions{Dir: t.TempDir()}); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("an unknown one: %v", err)
	}
	gone := p.invite()
	if err := p.db.DeleteInstance(t.Context(), "p", gone.Instance.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), gone.Token, JoinOptions{Dir: t.TempDir()}); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("of a deleted instance: %v", err)
	}
	p.ledger.err = coffer.E(coffer.KindUnavailable, "x", "the broker is away")
	away := p.invite()
	retry := t.TempDir()
	if _, err := Join(t.Context(), away.Token, JoinOptions{Dir: retry}); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("the broker is away: %v", err)
	}
	p.ledger.err = nil
	if _, err := Join(t.Context(), away.Token, JoinOptions{Dir: retry}); err != nil {
		t.Errorf("and back: %v", err)
	}
}

// The token is in no row: who reads the records cannot join.
func TestOnlyAHashIsKept(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	inv := p.invite()
	tok, err := ParseToken(inv.Token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.desk.Redeem(t.Context(), rest.Redeem{Secret: hashOf(tok.Secret), AgentKey: NewAgentKey()}); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("the hash opens: %v", err)
	}
}

// Nobody becomes an agent that exists: its id is a hash of a key that only it has.
func TestNobodyTakesAnotherAgentsAccount(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	victim, err := Join(t.Context(), p.invite().Token, JoinOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := ParseToken(p.invite().Token)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{string(victim.Agent), "", "x", strings.Repeat("A", 44)} {
		if _, err := p.desk.Redeem(t.Context(), rest.Redeem{Secret: tok.Secret, AgentKey: key}); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	if p.ledger.password[victim.Account] != victim.Password {
		t.Error("the victim's password has changed")
	}
}

// A server that another CA vouches for, or that speaks plain text, hears no secret.
func TestJoinTrustsThePinOnly(t *testing.T) {
	t.Parallel()
	p, evil := newPlane(t), newPlane(t)
	tok, err := ParseToken(p.invite().Token)
	if err != nil {
		t.Fatal(err)
	}
	tok.URL = evil.srv.URL
	if _, err := Join(t.Context(), tok.String(), JoinOptions{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "certificate authority") {
		t.Errorf("another CA: %v", err)
	}
	tok.URL = "http://192.0.2.1:8779"
	if _, err := Join(t.Context(), tok.String(), JoinOptions{Dir: t.TempDir()}); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("plain text: %v", err)
	}
	if _, err := Join(t.Context(), "coffer-join-1.e30", JoinOptions{Dir: t.TempDir()}); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("an empty token: %v", err)
	}
	old := t.TempDir()
	if err := os.MkdirAll(filepath.Join(old, "agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "agent", "id"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), p.invite().Token, JoinOptions{Dir: old}); !coffer.IsKind(err, coffer.KindConflict) {
		t.Errorf("a folder of another agent: %v", err)
	}
}

// Host agents are invited for no database, and inviting is an admin's.
func TestInvitations(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	inv, err := p.admin.Invite(t.Context(), rest.Invite{Host: true, Life: 120})
	if err != nil || inv.Instance != nil || inv.ExpiresAt.Sub(p.clock()).Round(time.Second) != 2*time.Minute {
		t.Fatalf("%+v %v", inv, err)
	}
	j, err := Join(t.Context(), inv.Token, JoinOptions{Dir: t.TempDir()})
	if err != nil || !j.Host || j.Instance != "" || !strings.HasPrefix(j.Account, "coffer-host-") {
		t.Errorf("%+v %v", j, err)
	}
	if w, ok := AgentOf(j.Account); !ok || !w.Host || w.Agent != j.Agent {
		t.Errorf("%+v", w)
	}
	for _, r := range []rest.Invite{{}, {Name: "n"}, {Host: true, Name: "n"}, {Host: true, Life: -1}, {Host: true, Life: 1 << 40}, {Host: true, Life: 1}} {
		if _, err := p.admin.Invite(t.Context(), r); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if _, err := p.client("token-of-a-member").Invite(t.Context(), rest.Invite{Host: true}); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("a member invites: %v", err)
	}
	for _, a := range []string{"", "coffer", "coffer-agent-", "coffer-agent-.*", "coffer-host-A", "xcoffer-agent-a", "coffer-agent-" + strings.Repeat("a", 65)} {
		if w, ok := AgentOf(a); ok {
			t.Errorf("%q is %+v", a, w)
		}
	}
	if _, err := rightsOf(Who{Agent: "a"}, []coffer.InstanceID{"i|.*"}, "trove"); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a pattern for an id: %v", err)
	}
}
