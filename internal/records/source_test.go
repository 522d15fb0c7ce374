package records_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/testenv"
)

func TestSourceRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []records.Source{
		{},
		{Path: "/x", URL: "postgres://u@h/d"},
		{URL: "postgres://u:hidden-word@h/d"},
		{URL: "mysql://u:hidden-word@h/d"},
		{URL: "mysql://u:@h/d"},
		{URL: "postgres://u:hidden%zzword@h/d"},
		{URL: "oracle://u@h/d"},
		{URL: "postgres://h/d"},
		{URL: "postgres://u@/d"},
		{URL: "postgres://u@h"},
		{URL: "postgres://u@h/"},
		{URL: "postgres://u@h/d?sslmode=disable"},
		{URL: "u@tcp(h)/d"},
	} {
		_, err := records.OpenSource(t.Context(), s)
		if !coffer.IsKind(err, coffer.KindInvalid) || coffer.HintOf(err) == "" {
			t.Errorf("%+v: %q: %v", s, coffer.KindOf(err), err)
		}
		if err != nil && strings.Contains(err.Error()+coffer.HintOf(err), "hidden") {
			t.Errorf("%+v: the error holds the password: %v", s, err)
		}
	}
}

// certificate makes a certificate of 127.0.0.1 and who trusts it, in files that a
// server's account can read.
func certificate(t *testing.T) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	pkcs, kerr := x509.MarshalPKCS8PrivateKey(private)
	dir, derr := os.MkdirTemp("/tmp", "cf")
	if err := errors.Join(err, kerr, derr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(cert, certPEM, 0o644), os.WriteFile(key, keyPEM, 0o644)); err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AppendCertsFromPEM(certPEM)
	return cert, key, trust
}

// testTLS opens records where the server takes nothing but TLS.
func testTLS(t *testing.T, s records.Source, trust *x509.CertPool, query string) {
	t.Helper()
	if _, err := records.OpenSource(t.Context(), s); !coffer.IsKind(err, coffer.KindUnavailable) {
		t.Errorf("in the clear: %q: %v", coffer.KindOf(err), err)
	}
	s.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	if _, err := records.OpenSource(t.Context(), s); err == nil {
		t.Error("an unknown certificate was accepted")
	}
	s.TLS = &tls.Config{RootCAs: trust, ServerName: "another.example"}
	if _, err := records.OpenSource(t.Context(), s); err == nil {
		t.Error("another server's certificate was accepted")
	}
	s.TLS = &tls.Config{RootCAs: trust}
	db := openSource(t, s)
	if version, err := db.Ask(t.Context(), query); !strings.HasPrefix(version, "TLSv1.") || err != nil {
		t.Errorf("the session speaks %q (%v), want TLS", version, err)
	}
}

func TestPostgreSQLTLS(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t)
	server := testenv.PostgreSQL(t, testenv.PostgresOptions{CertFile: cert, KeyFile: key})
	s := records.Source{URL: server.URL("postgres"), Password: testenv.PostgresPassword, MaxConns: 1}
	testTLS(t, s, trust, `SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()`)
}
