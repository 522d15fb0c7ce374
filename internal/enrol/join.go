package enrol

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/sign"
	"github.com/cofferdb/coffer/rest"
)

// JoinOptions say how an agent joins.
type JoinOptions struct {
	Dir      string // the agent's state folder
	Insecure bool   // plain HTTP to another machine
}

// Join redeems a token for the agent of a state folder and writes there what it is
// given. It may be called again, with the same token until that expires: the
// agent's id stays, its password is a new one.
func Join(ctx context.Context, token string, o JoinOptions) (rest.Joined, error) {
	t, err := ParseToken(token)
	if err != nil {
		return rest.Joined{}, err
	}
	h, err := t.client(o.Insecure)
	if err != nil {
		return rest.Joined{}, err
	}
	defer h.CloseIdleConnections()
	key, err := agentKey(o.Dir)
	if err != nil {
		return rest.Joined{}, err
	}
	out, err := client.Redeem(ctx, h, t.URL, rest.Redeem{Secret: t.Secret, AgentKey: key})
	if err != nil {
		return rest.Joined{}, err
	}
	if err := check(out, key, t.CA); err != nil {
		return rest.Joined{}, err
	}
	return out, Write(o.Dir, out)
}

// client trusts the CA of the token alone.
func (t Token) client(insecure bool) (*http.Client, error) {
	const op = "reach the control plane"
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, coffer.E(coffer.KindInvalid, op, "the token names %q, which is no address", t.URL)
	}
	if !secure(u, insecure) {
		return nil, coffer.E(coffer.KindForbidden, op, "%s would carry the account's password in plain text", t.URL).
			WithHint("let the API speak TLS (coffer ca issue), or say --insecure")
	}
	tr := &http.Transport{TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10}
	if t.CA != "" && u.Scheme == "https" {
		tr.TLSClientConfig = pki.PinnedTLS(u.Hostname(), t.CA, nil)
	}
	return &http.Client{Transport: tr, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the token's secret goes to nobody else
	}}, nil
}

// secretFiles are the keys of a store that name a secret of this machine. Which
// those are is nobody else's to say.
var secretFiles = [...]string{"credentials_file", "secret_file"}

// check holds the answer against what is known: who we are, whom the token trusts,
// and that verbs could be believed.
func check(j rest.Joined, key, fingerprint string) error {
	const op = "read the control plane's answer"
	want, err := AgentID(key)
	if err != nil {
		return err
	}
	if who, ok := AgentOf(j.Account); j.Agent != want || !ok || who.Agent != want || who.Host != j.Host {
		return coffer.E(coffer.KindInternal, op, "it is for another agent: %s", j.Agent)
	}
	for name, keys := range j.Stores {
		for _, key := range secretFiles {
			if keys[key] != "" { // it would be sent to a server that the answer names, too
				return coffer.E(coffer.KindForbidden, op, "it names a %s of this machine for the store %s", key, name)
			}
		}
	}
	if fingerprint != "" {
		block, _ := pem.Decode([]byte(j.CA))
		if block == nil {
			return coffer.E(coffer.KindForbidden, op, "it has no certificate authority")
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil || pki.Fingerprint(ca) != fingerprint {
			return coffer.E(coffer.KindForbidden, op, "its certificate authority is not the one that the token names")
		}
	}
	_, err = sign.NewVerifier(j.VerifyKeys, nil)
	return coffer.Wrap(op, err)
}
