package pki

import (
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"os"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
)

// Pool reads the certificates that a client trusts.
func Pool(path string) (*x509.CertPool, error) {
	const op = "read the certificates that are trusted"
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(op, err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(b) {
		return nil, coffer.E(coffer.KindInvalid, op, "%s holds no certificate", path)
	}
	return p, nil
}

// Files are what one side of TLS reads.
type Files struct {
	CA   string // whom to trust; a client without one trusts the system's
	Cert string // its own certificate, with the chain
	Key  string
}

// ServerTLS is a listener's side. The certificate is read again when its file
// changes, so a new one needs no restart. With f.CA, clients must show a certificate
// of that CA.
func ServerTLS(f Files) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	pair := &reloading{files: f}
	if _, err := pair.get(); err != nil {
		return nil, err
	}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get() }
	if f.CA != "" {
		pool, err := Pool(f.CA)
		if err != nil {
			return nil, err
		}
		c.ClientCAs, c.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// ClientTLS is a client's side. The server's name is checked; set ServerName where
// the library does not.
func ClientTLS(f Files) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pool, err := Pool(f.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if f.Cert == "" && f.Key == "" {
		return c, nil
	}
	pair := &reloading{files: f}
	if _, err := pair.get(); err != nil {
		return nil, err
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get() }
	return c, nil
}

// reloading is a certificate that follows its file.
type reloading struct {
	files Files
	mu    sync.Mutex
	cert  *tls.Certificate
	read  time.Time // the file's time when it was read
}

// get is the newest pair that can be read; a half-written one changes nothing.
func (r *reloading) get() (*tls.Certificate, error) {
	const op = "read the TLS certificate"
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.files.Cert)
	if err == nil && r.cert != nil && info.ModTime().Equal(r.read) {
		return r.cert, nil
	}
	if err == nil {
		err = Private(r.files.Key)
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(r.files.Cert, r.files.Key)
	}
	if err != nil && r.cert != nil {
		return r.cert, nil
	}
	if err != nil {
		if coffer.KindOf(err) != coffer.KindInternal {
			return nil, coffer.Wrap(op, err)
		}
		return nil, coffer.E(coffer.KindInvalid, op, "%w", err).WithHint("make one: coffer ca issue NAME --host ADDRESS")
	}
	r.cert, r.read = &pair, info.ModTime()
	return r.cert, nil
}

// PinnedTLS is a client's side that trusts one CA by the SHA-256 of its certificate
// alone, for whoever does not have that certificate yet. The server must show it at
// the end of its chain, and its own certificate must be signed by it and name the
// host. seen, if not nil, is told the CA's certificate.
func PinnedTLS(host, fingerprint string, seen func(*x509.Certificate)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host,
		// The library would look for the issuer among known roots; the whole check
		// is done below, and a connection without it does not come to be.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			ca := pinned(s.PeerCertificates, fingerprint)
			if ca == nil {
				return coffer.E(coffer.KindForbidden, "check the server's certificate", "the server does not show the certificate authority that the token names").
					WithHint("is this the right server? its certificate must be issued by: coffer ca issue")
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca)
			if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
				return coffer.E(coffer.KindForbidden, "check the server's certificate", "%w", err)
			}
			if seen != nil {
				seen(ca)
			}
			return nil
		},
	}
}

func pinned(chain []*x509.Certificate, fingerprint string) *x509.Certificate {
	for _, c := range chain {
		if c.IsCA && subtle.ConstantTimeCompare([]byte(Fingerprint(c)), []byte(fingerprint)) == 1 {
			return c
		}
	}
	return nil
}
