package archive

import (
	"context"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

// Owned is what a place holds of one backup whose intent says that it is ours.
type Owned struct {
	ID       coffer.BackupID
	Intent   Intent
	Objects  []string       // as the store names them, in their order
	Uploads  []store.Upload // begun and never ended
	Manifest bool           // there is a manifest
	Dead     bool           // there is a tombstone

	gone bool // there is no intent now
}

// Survey lists a place once and sorts what lies there by backup. Ours is what an
// intent of this installation vouches for. Everything else (the objects of others,
// and of backups whose intent is missing or cannot be read) is a stranger, to be
// reported and never touched. Keys are neither. An error means that the listing
// is not complete: nothing may be concluded from it.
func Survey(ctx context.Context, p Place, installation coffer.InstallationID) (ours []Owned, strangers []string, err error) {
	const op = "survey the place"
	s := &survey{p: p, pol: policyOr(retry.Policy{}), installation: installation}
	if err := s.uploads(ctx); err != nil {
		return nil, nil, coffer.Wrap(op, err)
	}
	if err := s.list(ctx); err != nil {
		return nil, nil, coffer.Wrap(op, err)
	}
	if err := s.judge(ctx); err != nil {
		return nil, nil, coffer.Wrap(op, err)
	}
	return s.ours, s.strangers, nil
}

// survey is one pass over a place.
type survey struct {
	p            Place
	pol          retry.Policy
	installation coffer.InstallationID

	order     []coffer.BackupID
	found     map[coffer.BackupID]*Owned
	begun     map[coffer.BackupID][]store.Upload
	ours      []Owned
	strangers []string
}

// uploads come before the listing: what is completed in between is then seen.
func (s *survey) uploads(ctx context.Context) error {
	return again(ctx, s.pol, "list the unfinished uploads", func(ctx context.Context) error {
		s.begun = map[coffer.BackupID][]store.Upload{}
		for u, err := range s.p.Store.Stale(ctx, s.p.Prefix) {
			if err != nil {
				return err
			}
			if id, _, ok := ownerOf(strings.TrimPrefix(u.Name, s.p.Prefix)); ok {
				s.begun[id] = append(s.begun[id], u)
			}
		}
		return nil
	})
}

func (s *survey) list(ctx context.Context) error {
	return again(ctx, s.pol, "list the objects", func(ctx context.Context) error {
		s.order, s.strangers, s.found = nil, nil, map[coffer.BackupID]*Owned{}
		for o, err := range s.p.Store.List(ctx, s.p.Prefix) {
			if err != nil {
				return err
			}
			s.note(o.Name)
		}
		return nil
	})
}

func (s *survey) note(name string) {
	rel := strings.TrimPrefix(name, s.p.Prefix)
	id, rest, ok := ownerOf(rel)
	if !ok {
		if !strings.HasPrefix(rel, "keys/") || !strings.HasSuffix(rel, ageSuffix) {
			s.strangers = append(s.strangers, name)
		}
		return
	}
	o := s.found[id]
	if o == nil {
		o = &Owned{ID: id}
		s.found[id] = o
		s.order = append(s.order, id)
	}
	o.Objects = append(o.Objects, name)
	o.Manifest = o.Manifest || rest == manifestSuffix
}

// judge reads the intents, and looks once more at what a listing may not show.
func (s *survey) judge(ctx context.Context) error {
	for id, uploads := range s.begun {
		for _, u := range uploads {
			if s.found[id] == nil {
				s.strangers = append(s.strangers, u.Name)
			}
		}
	}
	for _, id := range s.order {
		o := s.found[id]
		mine, err := s.owns(ctx, o)
		if err != nil {
			return err
		}
		if s.vanished(o) {
			continue
		}
		if !mine {
			s.strangers = append(s.strangers, o.Objects...)
			continue
		}
		o.Uploads = s.begun[id]
		if !o.Manifest {
			if o.Manifest, err = exists(ctx, s.p.Store, s.pol, s.p.at(ManifestName(id))); err != nil {
				return err
			}
		}
		if o.Dead, err = exists(ctx, s.p.Store, s.pol, s.p.at(TombstoneName(id))); err != nil {
			return err
		}
		s.ours = append(s.ours, *o)
	}
	return nil
}

func (s *survey) owns(ctx context.Context, o *Owned) (bool, error) {
	var err error
	o.Intent, err = readIntent(ctx, s.p, s.pol, o.ID)
	o.gone = coffer.IsKind(err, coffer.KindNotFound)
	if coffer.IsKind(err, coffer.KindNotFound, coffer.KindCorrupt, coffer.KindUnsupported) {
		return false, nil
	}
	return err == nil && o.Intent.Installation == s.installation, err
}

// vanished reports whether the intent went after the listing had shown it: another
// sweep or a delete is at work, and what is left is no stranger's.
func (s *survey) vanished(o *Owned) bool {
	return o.gone && slices.Contains(o.Objects, s.p.at(IntentName(o.ID)))
}
