package swift

import (
	"context"
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
