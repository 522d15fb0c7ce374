package workload

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cofferdb/coffer"
)

// Truth is what a restored database must hold: with a Writer what its clients did
// up to a single moment, without one the tables of which Sums were taken when all
// was quiet ([Checksums]).
type Truth struct {
	Schema string // "" is DefaultSchema
	Writer *Writer
	Sums   map[string]uint64
}

// Compare wants a restored database to be sound and to hold the truth; before and
// after are those of [Check]. The error says all that is wrong.
func (w Truth) Compare(ctx context.Context, restored *sql.DB, before, after time.Time) error {
	if w.Schema == "" {
		w.Schema = DefaultSchema
	}
	err := CheckTables(ctx, restored, w.Schema)
	if w.Writer != nil {
		return errors.Join(err, w.byLedger(ctx, restored, before, after))
	}
	return errors.Join(err, w.bySums(ctx, restored))
}

func (w Truth) byLedger(ctx context.Context, restored *sql.DB, before, after time.Time) error {
	r, err := Check(ctx, restored, w.Writer.Journal(), before, after)
	if err != nil {
		return fmt.Errorf("%w; %q", err, r.Problems)
	}
	if r.Transactions == 0 {
		return coffer.E(coffer.KindCorrupt, "compare with the ledger", "it holds no transaction: nothing was compared")
	}
	return nil
}

func (w Truth) bySums(ctx context.Context, restored *sql.DB) error {
	got, err := Checksums(ctx, restored, w.Schema)
	if err != nil {
		return err
	}
	all := maps.Clone(got)
	maps.Copy(all, w.Sums)
	var bad []error
	for _, table := range slices.Sorted(maps.Keys(all)) {
		want, wanted := w.Sums[table]
		is, there := got[table]
		switch {
		case !there:
			bad = append(bad, fmt.Errorf("table %s is missing", table))
		case !wanted:
			bad = append(bad, fmt.Errorf("table %s should not be there", table))
		case is != want:
			bad = append(bad, fmt.Errorf("table %s differs: checksum %d, want %d", table, is, want))
		}
	}
	if len(bad) > 0 {
		return coffer.E(coffer.KindCorrupt, "compare the tables", "%w", errors.Join(bad...))
	}
	return nil
}
