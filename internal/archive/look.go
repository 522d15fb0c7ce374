package archive

import (
	"context"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// Found is what lies in a place of one backup.
type Found struct {
	Intent         *Intent   // nil: none, or none that can be read
	Manifest       *Manifest // nil: none, or none that can be read
	ManifestSHA256 string    // of the object, also of one that cannot be read
	Dead           bool      // there is a tombstone
	DataPresent    bool      // there is at least one object of data

	broken error // why the manifest or its volumes are no whole archive
}

// Whole is nil if the backup exists: a manifest that is sound, every volume there
// in its right size, no tombstone.
func (f Found) Whole() error {
	const op = "look at the archive"
	switch {
	case f.Dead:
		return coffer.E(coffer.KindNotFound, op, "it is dead: it has a tombstone")
	case f.broken != nil:
		return coffer.Wrap(op, f.broken)
	case f.Manifest == nil:
		return coffer.E(coffer.KindNotFound, op, "it has no manifest")
	}
	return nil
}

// Look says what is there of id. An error means that the store did not answer:
// nothing may be concluded from it.
func Look(ctx context.Context, p Place, id coffer.BackupID) (Found, error) {
	const op = "look at the archive"
	if err := checkID(op, id); err != nil {
		return Found{}, err
	}
	pol := policyOr(retry.Policy{})
	var f Found
	in, err := readIntent(ctx, p, pol, id)
	switch {
	case err == nil:
		f.Intent = &in
	case !coffer.IsKind(err, coffer.KindNotFound, coffer.KindCorrupt, coffer.KindUnsupported):
		return Found{}, coffer.Wrap(op, err)
	}
	if err := f.lookManifest(ctx, p, pol, id); err != nil {
		return Found{}, coffer.Wrap(op, err)
	}
	// The tombstone is looked for last: a manifest that was seen before it is
	// judged by it.
	if f.Dead, err = exists(ctx, p.Store, pol, p.at(TombstoneName(id))); err != nil {
		return Found{}, coffer.Wrap(op, err)
	}
	names, err := listOf(ctx, p, pol, id)
	if err != nil {
		return Found{}, coffer.Wrap(op, err)
	}
	for _, name := range names {
		f.DataPresent = f.DataPresent || isData(strings.TrimPrefix(name, p.Prefix+string(id)))
	}
	return f, nil
}

// lookManifest reads the manifest, if there is one, and looks for its volumes.
func (f *Found) lookManifest(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID) error {
	text, err := readManifest(ctx, p, pol, id)
	switch {
	case coffer.IsKind(err, coffer.KindNotFound):
		return nil
	case coffer.IsKind(err, coffer.KindCorrupt):
		f.broken = err
		return nil
	case err != nil:
		return err
	}
	a := &Archive{p: p, want: Want{Retry: pol}, sum: sumOf(text)}
	f.ManifestSHA256 = a.sum
	if a.m, err = parseNamed(p, id, text); err != nil {
		f.broken = err
		return nil
	}
	m := a.m
	f.Manifest = &m
	err = a.Check(ctx)
	if coffer.IsKind(err, coffer.KindCorrupt) {
		f.broken, err = err, nil
	}
	return err
}

// isData reports whether the rest of a name, after the id, is of data: a volume
// or a store's segments.
func isData(rest string) bool {
	switch {
	case strings.HasPrefix(rest, "_"):
		return true
	case rest == intentSuffix, rest == manifestSuffix, rest == tombstoneSuffix,
		rest == indexSuffix, rest == indexSuffix+ageSuffix, strings.HasPrefix(rest, statementInfix):
		return false
	}
	return true
}
