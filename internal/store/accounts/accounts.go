// Package accounts makes one store of many: of each project's own account, reached
// by the project's own credentials. It is what a store is whose containers are the
// projects' and not the operator's.
//
// The contract, from the name to the bytes:
//
//  1. Names are what roles use everywhere: "<project>/<container>/<rest>", as
//     [coffer.Prefix] makes them. Nothing else is a name here.
//  2. The first component chooses the account, and so the credentials. No name, and
//     no listing below a project, can reach another project's account.
//  3. The second is a container of that account, exactly that one: it is never
//     replaced by another, whatever exists by then.
//  4. The rest is the object's name in the container, flat, as Trove's are.
//  5. Which container a new backup uses is chosen once, before its row is made, by
//     [Store.Choose]: the one that is wanted, or where that belongs to another
//     project "<wanted>_<project>" ("-" on S3). The row keeps the answer, and so a
//     restart, or a container that comes or goes, moves no backup.
//  6. A project without credentials has no account: KindInvalid, before anything is
//     written. Credentials that have changed are read again.
//  7. A listing that is not below one container goes through all accounts there are,
//     and all their containers: catalogues are rebuilt from that.
package accounts

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Account is one project's account.
type Account interface {
	// In is a container of the account as a store. It is not asked for anything yet.
	In(container string) (store.Full, error)
	// Choose gives the container to use where this one is wanted, and makes it.
	Choose(ctx context.Context, wanted string) (string, error)
	// Containers are all that the account has.
	Containers(ctx context.Context) ([]string, error)
	// URL is an object's address.
	URL(container, name string) string
}

// Options say whose accounts there are.
type Options struct {
	// Account opens a project's account; KindInvalid where it has no credentials.
	Account func(coffer.ProjectID) (Account, error)
	// Changed is when a project's credentials were exchanged last: its account is
	// opened again when that is another time.
	Changed func(coffer.ProjectID) time.Time
	// Projects are those that have credentials, for listings of everything.
	Projects func() ([]coffer.ProjectID, error)
	// MaxParts is how many parts an object may have, as long as no account of the
	// server has said it.
	MaxParts int
}

// Store is all accounts as one store.
type Store struct {
	opts Options

	mu   sync.Mutex
	open map[coffer.ProjectID]*opened
	size int // accounts, containers and choices since all began anew
}

var (
	_ store.Full    = (*Store)(nil)
	_ store.Bounded = (*Store)(nil)
)

// opened is an account in use.
type opened struct {
	Account
	changed    time.Time
	containers map[string]store.Full
	chosen     map[string]string // wanted → used
}

// maxOpen bounds how many accounts, containers and choices are kept together; beyond it
// all begin anew.
const maxOpen = 4096

// New makes a Store; no account is opened yet.
func New(o Options) *Store { return &Store{opts: o, open: map[coffer.ProjectID]*opened{}} }

// account is the project's, opened once for each of its credentials. s.mu is held.
func (s *Store) account(p coffer.ProjectID) (*opened, error) {
	if !p.Valid() {
		return nil, coffer.E(coffer.KindInvalid, "open the project's account", "%.80q is no project", p)
	}
	if s.size >= maxOpen {
		clear(s.open)
		s.size = 0
	}
	changed := s.opts.Changed(p)
	if o := s.open[p]; o != nil && o.changed.Equal(changed) {
		return o, nil
	}
	a, err := s.opts.Account(p)
	if err != nil {
		delete(s.open, p)
		return nil, coffer.Wrap("open the account of project "+string(p), err)
	}
	o := &opened{Account: a, changed: changed, containers: map[string]store.Full{}, chosen: map[string]string{}}
	s.open[p] = o
	s.size++
	return o, nil
}

// below is a container's store and what its names begin with here.
type below struct {
	store.Full
	prefix string
}

// in opens a container of a project.
func (s *Store) in(p coffer.ProjectID, container string) (below, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.account(p)
	if err != nil {
		return below{}, err
	}
	st := o.containers[container]
	if st == nil {
		if st, err = o.In(container); err != nil {
			return below{}, err
		}
		o.containers[container] = st
		s.size++
	}
	return below{st, coffer.Prefix(p, container)}, nil
}

// checkContainer is KindInvalid for what is no part of a name here.
func checkContainer(p coffer.ProjectID, container string) error {
	if _, back, _, ok := split(coffer.Prefix(p, container)); !ok || back != container {
		return coffer.E(coffer.KindInvalid, "choose the container", "%.80q is no container's name, or a too long one", container).
			WithHint("at most 100 bytes, and no slash")
	}
	return nil
}

// Choose gives the container that new backups of a project use where this one is
// wanted. It is asked of the account once.
func (s *Store) Choose(ctx context.Context, p coffer.ProjectID, wanted string) (string, error) {
	if err := checkContainer(p, wanted); err != nil {
		return "", err
	}
	s.mu.Lock()
	o, err := s.account(p)
	used := ""
	if err == nil {
		used = o.chosen[wanted]
	}
	s.mu.Unlock()
	if err != nil || used != "" {
		return used, err
	}
	if used, err = o.Account.Choose(ctx, wanted); err != nil {
		return "", coffer.Wrap("choose the container for "+wanted, err)
	}
	if err := checkContainer(p, used); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.chosen[wanted] = used
	s.size++
	return used, nil
}

// URL is an object's address; "" of what is no name, or of a project without an
// account.
func (s *Store) URL(name string) string {
	p, container, rest, ok := split(name)
	if !ok {
		return ""
	}
	s.mu.Lock()
	o, err := s.account(p)
	s.mu.Unlock()
	if err != nil {
		return ""
	}
	return o.URL(container, rest)
}

// MaxParts is how many parts an object may have. All accounts are on one server, and so
// anyone's answer is right; an account that cannot be asked keeps nobody else's backup.
func (s *Store) MaxParts(ctx context.Context) (int, error) {
	for _, st := range s.some() {
		if n, err := store.MaxParts(ctx, st); err == nil {
			return n, nil
		}
		if err := ctx.Err(); err != nil {
			return 0, coffer.Wrap("ask how many parts an object may have", err)
		}
	}
	return s.opts.MaxParts, nil
}

// some are a few open containers of different accounts.
func (s *Store) some() (out []store.Full) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.open {
		for _, st := range o.containers {
			out = append(out, st)
			break
		}
		if len(out) == 3 {
			break
		}
	}
	return out
}

// split reads "<project>/<container>/<rest>". Only what [coffer.Prefix] makes of the
// first two is one, and no account has a container with a slash, a dot alone or a
// control character.
func split(name string) (p coffer.ProjectID, container, rest string, ok bool) {
	project, tail, _ := strings.Cut(name, "/")
	escaped, rest, ok := strings.Cut(tail, "/")
	container, err := url.PathUnescape(escaped)
	p = coffer.ProjectID(project)
	bad := err != nil || strings.Contains(container, "/") || store.CheckName(container) != nil
	return p, container, rest, ok && !bad && p.Valid() && coffer.Prefix(p, container) == project+"/"+escaped+"/"
}
