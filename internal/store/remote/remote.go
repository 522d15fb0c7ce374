// Package remote is what the stores behind HTTP share.
//
//   - [Client] makes an HTTP client that gives up on a peer which has gone silent
//     or crawls, never on one that is only slow to be fed by us, and that is done
//     with a request's bytes when a request has ended.
//   - [Range] reads one range of an object and tells a range that ended from a
//     connection that did.
//   - [Names] lets one goroutine at a time publish a name, for servers that
//     cannot refuse an overwrite themselves.
//   - [Lost] says what an error of the network means to a caller of a store.
package remote

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/cofferdb/coffer"
)

// DefaultPatience is how long a peer may keep us waiting.
const DefaultPatience = 60 * time.Second

// Options say how a server is reached. The zero value does with the system's
// certificate authorities and DefaultPatience.
type Options struct {
	CAFile    string        // PEM: trust these authorities and no others
	Plaintext bool          // allow http to other machines: everything is readable on the way
	Patience  time.Duration // how long the server may move next to nothing; 0 is DefaultPatience
}

// Client is an HTTP client as o says. Its user ends it with CloseIdleConnections.
func Client(o Options) (*http.Client, error) {
	t, err := transport(o)
	if err != nil {
		return nil, err
	}
	patience := o.Patience
	if patience <= 0 {
		patience = DefaultPatience
	}
	return &http.Client{
		Transport: &watcher{next: t, patience: patience},
		// A redirect would take the credentials along to a place nobody named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func transport(o Options) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     60 * time.Second,
		DisableCompression:  true, // what is stored is what is read
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
	}
	if o.CAFile == "" {
		return t, nil
	}
	const op = "read the store's certificate authorities"
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, coffer.E(coffer.KindInvalid, op, "%s holds no certificate", o.CAFile).
			WithHint("it has to be PEM, with a line of BEGIN CERTIFICATE")
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// CheckURL parses a server's address. Plain http is for this machine only, unless
// o allows it.
func (o Options) CheckURL(op, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%q is no address of a server", redacted(u, raw)).
			WithHint("write it like https://store.example:443, credentials go into their own file")
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme == "http" && !local && !o.Plaintext {
		return nil, coffer.E(coffer.KindInvalid, op, "%s would send credentials and data in plain text", u.Host).
			WithHint("use https, or allow plain text for a network that nobody else is on")
	}
	return u, nil
}

func redacted(u *url.URL, raw string) string {
	if u == nil || u.User == nil {
		return raw
	}
	return u.Redacted()
}
