package swift

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// Auth says who we are. Of Keystone's ways one is chosen by what is filled in:
// Token, AppCredential, or User; a User may act through a Trust.
type Auth struct {
	URL string // Keystone's, with /v3; or of a version 1 login, with /auth/v1.0
	V1  bool   // the login is Swift's own version 1: User and Secret, nothing else

	User          string // name, or with UserDomain "" an id
	UserDomain    string // name
	Project       string // name, or with ProjectDomain "" an id
	ProjectDomain string // name
	Trust         string // id; the project is the trust's
	AppCredential string // id; the project is the credential's
	SecretFile    string // holds the password, the credential's secret or the key; read at each login
	Secret        string // in place of the file

	Token    string        // somebody else's: it cannot be renewed
	TokenFor time.Duration // refuse a token that ends sooner

	Region     string // of the catalogue; "" is the only one there is
	Interface  string // "public", "internal" or "admin"; "" is public
	StorageURL string // instead of the catalogue's; ends in the account
}

// session is one login's result.
type session struct {
	token   string
	url     string    // the account's; no slash at its end
	expires time.Time // zero is unknown
}

// early is how long before its end a token is not used any more.
const early = 30 * time.Second

// login keeps the current session and renews it for everybody at once.
type login struct {
	auth   Auth
	remote remote.Options
	http   *http.Client

	mu  sync.Mutex
	now session
}

func newLogin(o Options, client *http.Client) (*login, error) {
	const op = "open the Swift store"
	a := o.Auth
	for _, raw := range []string{a.URL, a.StorageURL} {
		if raw == "" {
			continue
		}
		if _, err := o.Remote.CheckURL(op, raw); err != nil {
			return nil, err
		}
	}
	bare := a.Token != "" && a.StorageURL != "" && !a.V1
	switch {
	case a.URL == "" && !bare:
		return nil, coffer.E(coffer.KindInvalid, op, "no address to log in at")
	case a.Token == "" && a.SecretFile == "" && a.Secret == "":
		return nil, coffer.E(coffer.KindInvalid, op, "no file with the secret is named")
	case a.Token == "" && a.User == "" && a.AppCredential == "":
		return nil, coffer.E(coffer.KindInvalid, op, "no user and no application credential is named")
	}
	return &login{auth: a, remote: o.Remote, http: client}, nil
}

// session is the current one. A token that was refused is given as refused: it is
// renewed, unless somebody has done that already.
func (l *login) session(ctx context.Context, refused string) (session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.now
	fresh := old.expires.IsZero() || time.Until(old.expires) > early
	if old.token != "" && old.token != refused && fresh {
		return old, nil
	}
	const op = "log in to the store"
	if old.token != "" && l.auth.Token != "" {
		return session{}, coffer.E(coffer.KindUnauthorized, op, "the caller's token is not valid any more and cannot be renewed").
			WithHint("use an application credential or a trust: they can be renewed while a backup runs")
	}
	now, err := l.again(ctx)
	if err != nil {
		return session{}, coffer.Wrap(op, err)
	}
	if l.auth.StorageURL != "" {
		now.url = l.auth.StorageURL
	}
	now.url = strings.TrimSuffix(now.url, "/")
	if _, err := l.remote.CheckURL(op, now.url); err != nil {
		return session{}, err
	}
	l.now = now
	return now, nil
}

func (l *login) again(ctx context.Context) (session, error) {
	switch a := l.auth; {
	case a.V1:
		return l.version1(ctx)
	case a.Token != "" && a.StorageURL != "" && a.URL == "":
		return session{token: a.Token}, nil
	}
	return l.keystone(ctx)
}

// secret reads the secret's file, so that it can be exchanged at any time.
func (l *login) secret() (string, error) {
	if l.auth.Secret != "" {
		return l.auth.Secret, nil
	}
	raw, err := os.ReadFile(l.auth.SecretFile)
	if err != nil {
		return "", coffer.E(coffer.KindInvalid, "read the store's secret", "%w", err)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

// version1 is Swift's own login.
func (l *login) version1(ctx context.Context) (session, error) {
	const op = "log in at version 1"
	secret, err := l.secret()
	if err != nil {
		return session{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.auth.URL, nil)
	if err != nil {
		return session{}, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	req.Header.Set("X-Auth-User", l.auth.User)
	req.Header.Set("X-Auth-Key", secret)
	resp, err := l.http.Do(req)
	if err != nil {
		return session{}, remote.Lost(op, err, false)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return session{}, refusal(op, resp, false)
	}
	s := session{token: resp.Header.Get("X-Auth-Token"), url: resp.Header.Get("X-Storage-Url")}
	if s.token == "" || s.url == "" {
		return session{}, coffer.E(coffer.KindInvalid, op, "%s answers without a token", l.auth.URL).WithHint("is this the address of a version 1 login?")
	}
	return s, nil
}
