package archive

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

// tombstone is the content of every tombstone, the same for ever.
const tombstone = "{\"format\":\"coffer-tombstone/1\"}\n"

// Tombstone declares id dead, for ever or until [Delete] has removed everything
// else: no reader opens it any more, whatever manifest is or comes there. One that
// exists is fine.
func Tombstone(ctx context.Context, p Place, id coffer.BackupID) error {
	const op = "write the tombstone"
	if err := checkID(op, id); err != nil {
		return err
	}
	return coffer.Wrap(op, putOnce(ctx, p.Store, policyOr(retry.Policy{}), p.at(TombstoneName(id)), []byte(tombstone)))
}

// Delete removes all of id: tombstone first, then the manifest, whose absence is
// seen, then index, data and statements, the tombstone, and at the very end the
// intent: whatever is left says whose it is. Every step can be repeated, so can the
// whole. Where the store keeps
// an object the error is KindKept and says until when; the backup stays dead.
func Delete(ctx context.Context, p Place, id coffer.BackupID) error {
	const op = "delete the archive"
	if err := Tombstone(ctx, p, id); err != nil {
		return coffer.Wrap(op, err)
	}
	pol := policyOr(retry.Policy{})
	known, err := dataOf(ctx, p, pol, id)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if err := dropManifest(ctx, p, pol, id); err != nil {
		return coffer.Wrap(op, err)
	}
	if err := clearData(ctx, p, pol, id, known); err != nil {
		return coffer.Wrap(op, err)
	}
	for _, name := range []string{TombstoneName(id), IntentName(id)} {
		if err := remove(ctx, p.Store, pol, p.at(name)); err != nil {
			return coffer.Wrap(op, err)
		}
	}
	return nil
}

// dataOf is what the manifest names, if there is one that can be read: a listing may
// not show it yet.
func dataOf(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID) ([]string, error) {
	text, err := readManifest(ctx, p, pol, id)
	if coffer.IsKind(err, coffer.KindNotFound, coffer.KindCorrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := parseNamed(p, id, text)
	if err != nil {
		return nil, nil // whatever it names, it may not be this backup's
	}
	var names []string
	for _, v := range m.Volumes {
		names = append(names, p.at(v.Name))
	}
	return names, nil
}

// Wipe removes what a failed attempt left: everything of id but its intent and
// tombstone. It refuses where there is a manifest and no tombstone.
func Wipe(ctx context.Context, p Place, id coffer.BackupID) error {
	const op = "wipe the failed archive"
	if err := checkID(op, id); err != nil {
		return err
	}
	pol := policyOr(retry.Policy{})
	found, err := exists(ctx, p.Store, pol, p.at(ManifestName(id)))
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if found {
		dead, err := exists(ctx, p.Store, pol, p.at(TombstoneName(id)))
		if err != nil {
			return coffer.Wrap(op, err)
		}
		if !dead {
			return coffer.E(coffer.KindConflict, op, "object %s is there and no tombstone: nothing was deleted", p.at(ManifestName(id)))
		}
		if err := dropManifest(ctx, p, pol, id); err != nil {
			return coffer.Wrap(op, err)
		}
	}
	return coffer.Wrap(op, clearData(ctx, p, pol, id, nil))
}

// dropManifest deletes the manifest and wants to see that it is gone.
func dropManifest(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID) error {
	name := p.at(ManifestName(id))
	if err := remove(ctx, p.Store, pol, name); err != nil {
		return err
	}
	return again(ctx, pol, "see that the manifest is gone", func(ctx context.Context) error {
		switch _, err := p.Store.Stat(ctx, name); {
		case err == nil:
			return coffer.E(coffer.KindUnavailable, "", "object %s is still there", name)
		case coffer.IsKind(err, coffer.KindNotFound):
			return nil
		default:
			return err
		}
	})
}

// clearData removes unfinished uploads, index, data and statements of id, the
// objects in known and whatever a listing shows. It never touches the manifest,
// the intent or the tombstone. What cannot be deleted does not stop the rest.
func clearData(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID, known []string) error {
	if err := endUploads(ctx, p, pol, id); err != nil {
		return err
	}
	names, err := listOf(ctx, p, pol, id)
	if err != nil {
		return err
	}
	indexes := []string{p.at(IndexName(id, false)), p.at(IndexName(id, true))}
	var errs []error
	seen := map[string]bool{}
	for _, group := range [][]string{indexes, known, names} {
		for _, name := range group {
			if seen[name] || keeps(p, id, name) {
				continue
			}
			seen[name] = true
			if err := remove(ctx, p.Store, pol, name); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// keeps reports whether name is one of the three that have an order of their own.
func keeps(p Place, id coffer.BackupID, name string) bool {
	switch name {
	case p.at(IntentName(id)), p.at(ManifestName(id)), p.at(TombstoneName(id)):
		return true
	}
	return false
}

// listOf lists the objects of id.
func listOf(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID) ([]string, error) {
	var names []string
	err := again(ctx, pol, "list the objects of "+string(id), func(ctx context.Context) error {
		names = nil
		for o, err := range p.Store.List(ctx, p.at(string(id))) {
			if err != nil {
				return err
			}
			if owner, _, ok := ownerOf(strings.TrimPrefix(o.Name, p.Prefix)); ok && owner == id {
				names = append(names, o.Name)
			}
		}
		return nil
	})
	return names, err
}

// endUploads ends every upload of id that was begun and never ended.
func endUploads(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID) error {
	return again(ctx, pol, "end the unfinished uploads of "+string(id), func(ctx context.Context) error {
		var stale []store.Upload
		for u, err := range p.Store.Stale(ctx, p.at(string(id))) {
			if err != nil {
				return err
			}
			stale = append(stale, u)
		}
		for _, u := range stale {
			if err := p.Store.Abort(ctx, u); err != nil {
				return err
			}
		}
		return nil
	})
}

// remove deletes one object; a store that keeps it is asked until when.
func remove(ctx context.Context, st store.Store, pol retry.Policy, name string) error {
	err := again(ctx, pol, "delete object "+name, func(ctx context.Context) error { return st.Delete(ctx, name) })
	if !coffer.IsKind(err, coffer.KindKept) {
		return err
	}
	if o, look := st.Stat(ctx, name); look == nil && !o.KeptUntil.IsZero() {
		until := o.KeptUntil.UTC().Format(time.RFC3339)
		return coffer.E(coffer.KindKept, "delete object "+name, "it is kept until %s: %w", until, err).
			WithHint("delete it again after %s", until)
	}
	return err
}
