package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"weak"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// Want is what a reader expects and brings along.
type Want struct {
	ManifestSHA256 string         // the only manifest that is accepted; "" accepts any
	Identities     []age.Identity // for an encrypted archive
	Workers        int            // decoding goroutines; 0 is one a core
	SpoolDir       string         // for the index, in files without a name; "" is the system's
	InFlight       int64          // bytes of parts fetched ahead; 0 is DefaultInFlight
	Retry          retry.Policy   // of each read; the zero value is ten minutes of patience
}

// Archive is a committed archive, open for reading. Its methods may be called by
// several goroutines.
type Archive struct {
	p    Place
	m    Manifest
	sum  string
	want Want

	mu    sync.Mutex
	table *indexFile           // nil until first used
	edges []edge               // of an encrypted archive
	idle  weak.Pointer[ranger] // for the next range
}

// Open reads id's manifest and holds it to what is wanted. A backup with a
// tombstone is KindNotFound, whatever its manifest says; a manifest that is not the
// wanted one is KindCorrupt, and the error names the object.
func Open(ctx context.Context, p Place, id coffer.BackupID, w Want) (*Archive, error) {
	const op = "open the archive"
	if err := checkID(op, id); err != nil {
		return nil, err
	}
	w.Retry = policyOr(w.Retry)
	text, readErr := readManifest(ctx, p, w.Retry, id)
	if readErr != nil && !coffer.IsKind(readErr, coffer.KindNotFound) {
		return nil, coffer.Wrap(op, readErr)
	}
	// Only after the manifest was read: a tombstone that was there before it came
	// must be seen.
	dead, err := exists(ctx, p.Store, w.Retry, p.at(TombstoneName(id)))
	switch {
	case err != nil:
		return nil, coffer.Wrap(op, err)
	case dead:
		return nil, coffer.E(coffer.KindNotFound, op, "backup %s is dead: object %s says so", id, p.at(TombstoneName(id))).
			WithHint("it failed or was deleted; choose another backup")
	case readErr != nil:
		return nil, coffer.Wrap(op, readErr)
	}
	m, err := parseNamed(p, id, text)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	sum := sumOf(text)
	if w.ManifestSHA256 != "" && sum != w.ManifestSHA256 {
		return nil, coffer.E(coffer.KindCorrupt, op, "object %s is not the manifest that was committed: its sum is %s, not %s",
			p.at(ManifestName(id)), sum, w.ManifestSHA256).WithHint("an older or altered manifest lies in its place")
	}
	return &Archive{p: p, m: m, sum: sum, want: w}, nil
}

// readManifest reads the manifest's bytes.
func readManifest(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID) ([]byte, error) {
	b, err := readWhole(ctx, p.Store, pol, p.at(ManifestName(id)), MaxManifest)
	return b, coffer.Wrap("read the manifest", err)
}

// parseNamed parses a manifest that was found under id's name.
func parseNamed(p Place, id coffer.BackupID, text []byte) (Manifest, error) {
	name := p.at(ManifestName(id))
	m, err := ParseManifest(text)
	if err != nil {
		return Manifest{}, coffer.Wrap("object "+name, err)
	}
	if m.Backup != id {
		return Manifest{}, coffer.E(coffer.KindCorrupt, "read the manifest", "object %s is the manifest of another backup, %s", name, m.Backup)
	}
	return m, nil
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Manifest is what the commit record says.
func (a *Archive) Manifest() Manifest { return a.m }

// ManifestSHA256 is the sum of the manifest's object.
func (a *Archive) ManifestSHA256() string { return a.sum }

// Close releases the spool. Streams and ranges are closed before.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.table == nil {
		return nil
	}
	t := a.table
	a.table = nil
	return t.close()
}

// Check sees that every volume is there in its size. That is what the control plane
// does before COMPLETED; it reads no data. KindCorrupt names the object.
func (a *Archive) Check(ctx context.Context) error {
	for _, v := range a.m.Volumes {
		if err := a.checkObject(ctx, v.Name, v.Size); err != nil {
			return coffer.Wrap("check the archive", err)
		}
	}
	return nil
}

func (a *Archive) checkObject(ctx context.Context, rel string, size int64) error {
	name := a.p.at(rel)
	return again(ctx, a.want.Retry, "look at object "+name, func(ctx context.Context) error {
		o, err := a.p.Store.Stat(ctx, name)
		switch {
		case coffer.IsKind(err, coffer.KindNotFound):
			return coffer.E(coffer.KindCorrupt, "", "it is missing").WithHint("bring the object back, or use another backup")
		case err != nil:
			return err
		case o.Size != size:
			return coffer.E(coffer.KindCorrupt, "", "it has %d bytes, the manifest says %d", o.Size, size)
		}
		return nil
	})
}
