package swift

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"github.com/cofferdb/coffer"
)

// Beside is another container as a store, by the same login: of the same account, or of
// another one, where the user has a right to it. Its keys are names as they are, and it
// is not made where it is missing. account is an account's name, the last part of its
// address; the server is the login's own in any case, so that no token goes elsewhere.
func (s *Store) Beside(ctx context.Context, account, container string) (*Store, error) {
	op := "use the container " + container
	if container == "" || len(container) > 256 || strings.Contains(container, "/") {
		return nil, coffer.E(coffer.KindInvalid, op, "%.80q is no container's name", container)
	}
	if account == "" || account == "." || account == ".." || len(account) > 256 || strings.ContainsAny(account, "/?#%\\") {
		return nil, coffer.E(coffer.KindInvalid, op, "%.80q is no account's name", account)
	}
	now, err := s.login.session(ctx, "")
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	o := s.opts
	o.Container, o.Project, o.Prefix, o.Create = container, "", "", false
	at := now.url[:strings.LastIndexByte(now.url, '/')+1] + account
	return &Store{http: s.http, opts: o, login: s.login, account: at}, nil
}

// In is another container of the same account as a store, by the same login and with
// the same options. With project, which names whose account it is, the container is
// replaced where it belongs to another project (see [Options]); without, it is exactly
// that one.
func (s *Store) In(container string, project coffer.ProjectID) (*Store, error) {
	o := s.opts
	o.Container, o.Project = container, string(project)
	if err := o.check("use the container " + container); err != nil {
		return nil, err
	}
	return &Store{http: s.http, opts: o, login: s.login}, nil
}

// Containers are the names of all containers of the account.
func (s *Store) Containers(ctx context.Context) ([]string, error) {
	const op = "list the account's containers"
	var names []string
	marker := ""
	for {
		page, err := s.page(ctx, op, "", url.Values{"format": {"json"}, "limit": {pageSize}, "marker": {marker}})
		if coffer.IsKind(err, coffer.KindNotFound) { // nobody has used it yet
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			names = append(names, e.Key)
			marker = e.Key
		}
		if len(page) == 0 {
			return names, nil
		}
	}
}

// Address is the account's, as the last login said it; "" before the first.
func (s *Store) Address() string {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	return cmp.Or(s.account, s.login.now.url)
}

// Key is an object's name in its container.
func (s *Store) Key(name string) string { return s.opts.Prefix + name }
