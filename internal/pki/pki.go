// Package pki is Coffer's own certificate authority and the TLS that stands on it:
// one CA, made once by the operator, that signs a certificate for each listener
// (API, RabbitMQ, PostgreSQL, MySQL) and, where a server asks for one, each client.
//
// Keys are ECDSA P-256: of the kinds that are small and fast it is the one that all
// of OTP 25, PostgreSQL 15, MariaDB 10.11 and every HTTP client take. Files are PEM;
// a server's certificate file holds the CA's certificate too, behind its own, so
// that a client which knows only the CA's SHA-256 (an agent that joins) sees it.
//
// Everything speaks TLS 1.2 or newer. A certificate begins a day before it is made:
// clocks may be an hour wrong.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// The files of a CA in its folder, and how long certificates hold.
const (
	CertFile = "ca.crt"
	KeyFile  = "ca.key"

	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 2 * 365 * 24 * time.Hour
	backdate = 24 * time.Hour
)

// CA is a certificate authority with its private key.
type CA struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// Init makes a CA in dir: ca.key (0600) and ca.crt. One that is there is never
// replaced: KindExists.
func Init(dir, name string, now time.Time) (*CA, error) {
	const op = "make the certificate authority"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	t := template(name, now, caLife)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	if err := writeKey(filepath.Join(dir, KeyFile), key); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	if err := write(filepath.Join(dir, CertFile), encode("CERTIFICATE", der), 0o644); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	return Load(dir)
}

// Load reads the CA of a folder. Its key must be its reader's alone.
func Load(dir string) (*CA, error) {
	const op = "read the certificate authority"
	cert, err := ReadCert(filepath.Join(dir, CertFile))
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	path := filepath.Join(dir, KeyFile)
	if err := Private(path); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(op, err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%s holds no PEM", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := k.(*ecdsa.PrivateKey)
	if err != nil || !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, coffer.E(coffer.KindInvalid, op, "%s is not the key of %s", path, CertFile)
	}
	return &CA{Cert: cert, key: key, now: time.Now}, nil
}

// Request is a certificate that somebody wants.
type Request struct {
	Name   string        // the common name, and the files' names
	Hosts  []string      // DNS names and IP addresses
	Client bool          // for a client, else for a server
	Life   time.Duration // 0 is two years
	Now    time.Time     // zero is the present
}

// Issued names the files of a certificate.
type Issued struct {
	Cert, Key string
	NotAfter  time.Time
}

// Issue signs a certificate with a new key: dir/NAME.key (0600) and dir/NAME.crt,
// which holds the CA's certificate too. Files that are there are never replaced:
// KindExists.
func (ca *CA) Issue(dir string, r Request) (Issued, error) {
	const op = "issue a certificate"
	if r.Name == "" || strings.ContainsAny(r.Name, "/\\\x00") || strings.HasPrefix(r.Name, ".") {
		return Issued{}, coffer.E(coffer.KindInvalid, op, "%q cannot be a file's name", r.Name)
	}
	if !r.Client && len(r.Hosts) == 0 {
		return Issued{}, coffer.E(coffer.KindInvalid, op, "a server's certificate needs the names that clients call it by").
			WithHint("name them with --host, also its addresses")
	}
	if r.Now.IsZero() {
		r.Now = ca.now()
	}
	if r.Life == 0 {
		r.Life = leafLife
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Issued{}, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	t := leaf(r)
	if t.NotAfter.After(ca.Cert.NotAfter) {
		t.NotAfter = ca.Cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.Cert, key.Public(), ca.key)
	if err != nil {
		return Issued{}, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	out := Issued{Cert: filepath.Join(dir, r.Name+".crt"), Key: filepath.Join(dir, r.Name+".key"), NotAfter: t.NotAfter}
	if err := writeKey(out.Key, key); err != nil {
		return Issued{}, coffer.Wrap(op, err)
	}
	chain := append(encode("CERTIFICATE", der), encode("CERTIFICATE", ca.Cert.Raw)...)
	return out, coffer.Wrap(op, write(out.Cert, chain, 0o644))
}

func leaf(r Request) *x509.Certificate {
	t := template(r.Name, r.Now, r.Life)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if r.Client {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	t.BasicConstraintsValid = true
	for _, h := range r.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t
}

func template(name string, now time.Time, life time.Duration) *x509.Certificate {
	var serial [16]byte
	rand.Read(serial[:])
	serial[0] &= 0x7f
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
	}
}

// Fingerprint is a certificate's SHA-256, as join tokens carry it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// PEM is a certificate as text.
func PEM(c *x509.Certificate) string { return string(encode("CERTIFICATE", c.Raw)) }

// ReadCert reads the first certificate of a file.
func ReadCert(path string) (*x509.Certificate, error) {
	const op = "read a certificate"
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(op, err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, coffer.E(coffer.KindInvalid, op, "%s holds no certificate", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%s: %w", path, err)
	}
	return c, nil
}

// Private refuses a file that others than its owner may read. A file in the hands
// of a group that runs one server alone (0640) is still refused: copy it.
func Private(path string) error {
	const op = "look at a private key"
	info, err := os.Stat(path)
	if err != nil {
		return fileError(op, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return coffer.E(coffer.KindForbidden, op, "%s can be read by others (mode %v)", path, info.Mode().Perm()).WithHint("chmod 600 %s", path)
	}
	return nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return coffer.E(coffer.KindInternal, "write a private key", "%w", err)
	}
	return write(path, encode("PRIVATE KEY", der), 0o600)
}

func write(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fileError("write "+filepath.Base(path), err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return coffer.E(coffer.KindInternal, "write "+filepath.Base(path), "%w", err)
	}
	return nil
}

func fileError(op string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return coffer.E(coffer.KindNotFound, op, "%w", err)
	case errors.Is(err, fs.ErrExist):
		return coffer.E(coffer.KindExists, op, "%w", err).WithHint("it is never replaced: move it away first")
	case errors.Is(err, fs.ErrPermission):
		return coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	return coffer.E(coffer.KindInternal, op, "%w", err)
}
