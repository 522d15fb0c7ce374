package swift

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// keystone logs in at Keystone and finds the account in its catalogue.
func (l *login) keystone(ctx context.Context) (session, error) {
	op := "log in at Keystone"
	opts, err := l.keystoneOptions()
	if err != nil {
		return session{}, err
	}
	client, err := openstack.NewClient(l.auth.URL)
	if err != nil {
		return session{}, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	client.HTTPClient = *l.http
	if err := openstack.AuthenticateV3(ctx, client, opts, gophercloud.EndpointOpts{}); err != nil {
		return session{}, keystoneError(op, err)
	}
	s := session{token: client.Token(), expires: expiry(client)}
	if l.auth.Token != "" && l.auth.TokenFor > 0 && !s.expires.IsZero() && time.Until(s.expires) < l.auth.TokenFor {
		return session{}, coffer.E(coffer.KindUnauthorized, op, "the caller's token ends at %s, which is too soon", s.expires.UTC().Format(time.RFC3339)).
			WithHint("use an application credential or a trust: they can be renewed while a backup runs")
	}
	if l.auth.StorageURL != "" {
		return s, nil
	}
	account, err := openstack.NewObjectStorageV1(client, gophercloud.EndpointOpts{
		Region: l.auth.Region, Availability: gophercloud.Availability(l.auth.Interface),
	})
	if err != nil {
		return session{}, coffer.E(coffer.KindInvalid, op, "the catalogue has no object store for us: %w", err).
			WithHint("look at the region and the interface: openstack catalog list")
	}
	s.url = account.Endpoint
	return s, nil
}

// keystoneOptions are the login's fields. Nothing is renewed behind our back: the
// library would do so without an end.
func (l *login) keystoneOptions() (*gophercloud.AuthOptions, error) {
	a := l.auth
	o := &gophercloud.AuthOptions{IdentityEndpoint: a.URL, TokenID: a.Token}
	if a.Token != "" {
		o.Scope = l.scope()
		return o, nil
	}
	secret, err := l.secret()
	if err != nil {
		return nil, err
	}
	if a.AppCredential != "" {
		o.ApplicationCredentialID, o.ApplicationCredentialSecret = a.AppCredential, secret
		return o, nil
	}
	o.Password, o.Scope = secret, l.scope()
	if a.UserDomain == "" {
		o.UserID = a.User
	} else {
		o.Username, o.DomainName = a.User, a.UserDomain
	}
	return o, nil
}

// scope is what the token is good for; nil is the user's own default.
func (l *login) scope() *gophercloud.AuthScope {
	switch a := l.auth; {
	case a.Trust != "":
		return &gophercloud.AuthScope{TrustID: a.Trust}
	case a.Project == "":
		return nil
	case a.ProjectDomain == "":
		return &gophercloud.AuthScope{ProjectID: a.Project}
	default:
		return &gophercloud.AuthScope{ProjectName: a.Project, DomainName: a.ProjectDomain}
	}
}

// expiry is when the token ends, of a login or of a look at the caller's token.
func expiry(client *gophercloud.ProviderClient) time.Time {
	r, ok := client.GetAuthResult().(interface{ ExtractToken() (*tokens.Token, error) })
	if !ok {
		return time.Time{}
	}
	t, err := r.ExtractToken()
	if err != nil {
		return time.Time{}
	}
	return t.ExpiresAt
}

// keystoneError is Keystone's refusal. Its answer is not repeated: it may hold
// what we sent.
func keystoneError(op string, err error) error {
	r, answered := errors.AsType[gophercloud.ErrUnexpectedResponseCode](err)
	if !answered {
		if _, malformed := errors.AsType[gophercloud.ErrMissingInput](err); malformed {
			return coffer.E(coffer.KindInvalid, op, "%w", err)
		}
		return remote.Lost(op, err, false)
	}
	c := statusClass(r.Actual)
	switch r.Actual {
	case http.StatusUnauthorized:
		c.hint = "look at the user, the project and the secret; an application credential or a trust may have been deleted"
	case http.StatusNotFound:
		c = class{coffer.KindInvalid, "the address of Keystone ends in /v3"}
	}
	return coffer.E(c.kind, op, "%s answers %d", r.URL, r.Actual).WithHint("%s", c.hint)
}
