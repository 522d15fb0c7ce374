package archive

import (
	"context"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// Owner says of which backup the object of that name, without a place's prefix, is
// a part, and what of it: ".manifest.json", say. ok is false where it is none of an
// archive's.
func Owner(rel string) (id coffer.BackupID, suffix string, ok bool) { return ownerOf(rel) }

// IsManifest reports whether a suffix of Owner's is a manifest's.
func IsManifest(suffix string) bool { return suffix == manifestSuffix }

// IsStatement reports whether a suffix of Owner's is a statement's.
func IsStatement(suffix string) bool { return strings.HasPrefix(suffix, statementInfix) }

// ReadStatement reads one statement about id by the name that a listing of the whole
// place gave (without its prefix): [Statements] would list once for every backup.
func ReadStatement(ctx context.Context, p Place, id coffer.BackupID, rel string) (Statement, error) {
	s, err := readStatement(ctx, p, policyOr(retry.Policy{}), id, p.at(rel))
	return s, coffer.Wrap("read the statement", err)
}

// ReadKey reads a wrapped data key by its name without the place's prefix.
func ReadKey(ctx context.Context, p Place, rel string) ([]byte, error) {
	b, err := readWhole(ctx, p.Store, policyOr(retry.Policy{}), p.at(rel), maxSmall)
	return b, coffer.Wrap("read the wrapped data key", err)
}
