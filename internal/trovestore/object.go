package trovestore

import (
	"context"
	"regexp"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// Source is the container of a backup, and what opens encrypted ones.
type Source struct {
	Store      store.Store // of that one container
	Passphrase []byte      // Trove's backup_aes_cbc_key; nil where there is none
}

// Sources opens the containers that Trove's backups lie in.
type Sources interface {
	// TroveSource opens the container of l, by the credentials of the configured store
	// of that name.
	TroveSource(ctx context.Context, store string, l Location) (Source, error)
}

// maxSegments bounds how many segments of one backup are listed: at Trove's 2 GiB a
// piece they are 195 TiB.
const maxSegments = 100_000

// Object is what the store says of a backup. Nothing of it is proven.
type Object struct {
	Name     string
	Size     int64             // stored bytes
	Checksum string            // as the store says it, without quotes
	Meta     map[string]string // datastore, lsn, …; empty on the eras that lost it
	Parent   string            // location of the backup that it stands on; "" is none, or not said
	// ParentChecksum is what the parent's was then.
	ParentChecksum string

	segments []segment // whole and in order, or none
}

type segment struct {
	size int64
	md5  string
}

// Look asks the store for the object and lists its segments.
func Look(ctx context.Context, src Source, name string) (Object, error) {
	op := "look at Trove's backup " + name
	if _, err := formOf(name); err != nil {
		return Object{}, err
	}
	o, err := src.Store.Stat(ctx, name)
	if err != nil {
		return Object{}, coffer.Wrap(op, err)
	}
	out := Object{
		Name: name, Size: o.Size, Checksum: unquoted(o.ETag), Meta: o.Meta,
		Parent: o.Meta["parent_location"], ParentChecksum: unquoted(o.Meta["parent_checksum"]),
	}
	if out.segments, err = segmentsOf(ctx, src.Store, name, o.Size); err != nil {
		return Object{}, coffer.Wrap(op, err)
	}
	return out, nil
}

var segmentName = regexp.MustCompile(`^[0-9]{8}$`)

// segmentsOf are the segments beside an object, if they are its bytes: from the first
// on without a gap, and together of its size. What an upload that failed has left there
// is not.
func segmentsOf(ctx context.Context, st store.Store, name string, size int64) (out []segment, err error) {
	base, _, _ := strings.Cut(name, ".")
	var sum int64
	for o, err := range st.List(ctx, base+"_") {
		if err != nil {
			return nil, coffer.Wrap("list its segments", err)
		}
		number := strings.TrimPrefix(o.Name, base+"_")
		if !segmentName.MatchString(number) {
			continue
		}
		if len(out) == maxSegments {
			return nil, coffer.E(coffer.KindInvalid, "list its segments", "there are more than %d", maxSegments)
		}
		out = append(out, segment{o.Size, unquoted(o.ETag)})
		sum += o.Size
	}
	if sum != size {
		return nil, nil
	}
	return out, nil
}

// unquoted is a checksum as Trove compares it: some of its records hold the quotes of the
// header that it came in.
func unquoted(sum string) string { return strings.ToLower(strings.Trim(sum, `"`)) }
