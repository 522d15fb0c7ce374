package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
)

func newCA(t *testing.T) (*CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := Init(dir, "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca, dir
}

func issue(t *testing.T, ca *CA, r Request) Files {
	t.Helper()
	dir := t.TempDir()
	out, err := ca.Issue(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	return Files{Cert: out.Cert, Key: out.Key}
}

// handshake is one connection between the two sides.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	end := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			end <- err
			return
		}
		s := tls.Server(c, server)
		err = s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		c.Close()
		end <- err
	}()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	d := tls.Dialer{Config: client}
	c, err := d.DialContext(ctx, "tcp", ln.Addr().String())
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // a server's refusal of our certificate comes here
		c.Close()
	}
	serr := <-end
	if err == nil {
		err = serr
	}
	return err
}

func mustServer(t *testing.T, f Files) *tls.Config {
	t.Helper()
	c, err := ServerTLS(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The CA is made once, its key is its owner's alone, and it is never replaced.
func TestInit(t *testing.T) {
	t.Parallel()
	ca, dir := newCA(t)
	if fi, err := os.Stat(filepath.Join(dir, KeyFile)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Error(fi.Mode(), err)
	}
	if _, err := Init(dir, "test", time.Now()); !coffer.IsKind(err, coffer.KindExists) {
		t.Errorf("made twice: %v", err)
	}
	again, err := Load(dir)
	if err != nil || Fingerprint(again.Cert) != Fingerprint(ca.Cert) || len(Fingerprint(ca.Cert)) != 64 {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, KeyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("others may read the key: %v", err)
	}
	if _, err := ca.Issue(dir, Request{Name: "../x", Hosts: []string{"h"}}); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("outside its folder: %v", err)
	}
	if _, err := ca.Issue(dir, Request{Name: "x"}); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a server without names: %v", err)
	}
}

// Who trusts the CA, or its pinned SHA-256, is served under the right name only.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	ca, dir := newCA(t)
	_, otherDir := newCA(t)
	other, err := Load(otherDir)
	if err != nil {
		t.Fatal(err)
	}
	server := issue(t, ca, Request{Name: "api", Hosts: []string{"127.0.0.1", "coffer.example"}})
	stranger := issue(t, other, Request{Name: "api", Hosts: []string{"127.0.0.1"}})
	expired := issue(t, ca, Request{Name: "api", Hosts: []string{"127.0.0.1"}, Now: time.Now().Add(-48 * time.Hour), Life: time.Hour})
	client := issue(t, ca, Request{Name: "agent", Client: true})
	trusting := Files{CA: filepath.Join(dir, CertFile)}
	known := trusting
	known.Cert, known.Key = client.Cert, client.Key
	foreign := trusting
	foreign.Cert, foreign.Key = stranger.Cert, stranger.Key
	mutual := server
	mutual.CA = trusting.CA
	pin := Fingerprint(ca.Cert)

	plain := func(f Files) *tls.Config {
		c, err := ClientTLS(f)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	wrongName := plain(trusting)
	wrongName.ServerName = "other.example"
	old := plain(trusting)
	old.MaxVersion = tls.VersionTLS11
	old.MinVersion = tls.VersionTLS10
	for _, c := range []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"trusted", mustServer(t, server), plain(trusting), true},
		{"another CA's server", mustServer(t, stranger), plain(trusting), false},
		{"an expired server", mustServer(t, expired), plain(trusting), false},
		{"another name", mustServer(t, server), wrongName, false},
		{"TLS 1.1", mustServer(t, server), old, false},
		{"without the client's certificate", mustServer(t, mutual), plain(trusting), false},
		{"with it", mustServer(t, mutual), plain(known), true},
		{"with another CA's", mustServer(t, mutual), plain(foreign), false},
		{"a client's certificate as a server's", mustServer(t, client), plain(trusting), false},
		{"pinned", mustServer(t, server), PinnedTLS("127.0.0.1", pin, nil), true},
		{"pinned, another CA's server", mustServer(t, stranger), PinnedTLS("127.0.0.1", pin, nil), false},
		{"pinned, another name", mustServer(t, server), PinnedTLS("other.example", pin, nil), false},
		{"pinned, expired", mustServer(t, expired), PinnedTLS("127.0.0.1", pin, nil), false},
		{"a pin of a leaf", mustServer(t, server), PinnedTLS("127.0.0.1", leafPin(t, server), nil), false},
		{"no pin", mustServer(t, server), PinnedTLS("127.0.0.1", "", nil), false},
		{"a chain that only claims the CA", mustServer(t, claiming(t, stranger, ca)), PinnedTLS("127.0.0.1", pin, nil), false},
	} {
		if err := handshake(t, c.server, c.client); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	var got *x509.Certificate
	if err := handshake(t, mustServer(t, server), PinnedTLS("127.0.0.1", pin, func(c *x509.Certificate) { got = c })); err != nil || got == nil || Fingerprint(got) != pin {
		t.Errorf("the CA was not shown: %v", err)
	}
}

func leafPin(t *testing.T, f Files) string {
	t.Helper()
	c, err := ReadCert(f.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return Fingerprint(c)
}

// claiming is a stranger's certificate with our CA's laid behind it.
func claiming(t *testing.T, f Files, ca *CA) Files {
	t.Helper()
	c, err := ReadCert(f.Cert)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "chain.crt")
	if err := os.WriteFile(path, []byte(PEM(c)+PEM(ca.Cert)), 0o644); err != nil {
		t.Fatal(err)
	}
	return Files{Cert: path, Key: f.Key}
}

// A listener takes a new certificate without a restart, and keeps the old one while
// the files do not fit.
func TestReload(t *testing.T) {
	t.Parallel()
	ca, dir := newCA(t)
	f := issue(t, ca, Request{Name: "api", Hosts: []string{"127.0.0.1"}})
	srv := mustServer(t, f)
	client, err := ClientTLS(Files{CA: filepath.Join(dir, CertFile)})
	if err != nil {
		t.Fatal(err)
	}
	client.ServerName = "new.example"
	if err := handshake(t, srv, client); err == nil {
		t.Fatal("the name is not in the certificate")
	}
	next := issue(t, ca, Request{Name: "api", Hosts: []string{"new.example"}})
	replace := func(from, to string, at time.Time) {
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err == nil {
			err = os.Chtimes(to, at, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace(next.Cert, f.Cert, time.Now().Add(time.Minute)) // the key is still the old one
	old := client.Clone()
	old.ServerName = "127.0.0.1"
	if err := handshake(t, srv, old); err != nil {
		t.Errorf("between the files: %v", err)
	}
	replace(next.Key, f.Key, time.Now())
	replace(next.Cert, f.Cert, time.Now().Add(2*time.Minute))
	if err := handshake(t, srv, client); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
}
