package archive

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// StatementFormat is the only format of a statement.
const StatementFormat = "coffer-statement/1"

const (
	statementInfix = ".s."
	maxStatements  = 100_000
)

// The kinds of statements.
const (
	StatementVerified = "verified"
	StatementHold     = "hold"
	StatementRelease  = "release"
)

// Statement is something said of a backup after its commit. It is never changed;
// a later one may say otherwise.
type Statement struct {
	Format string          `json:"format"`
	Name   string          `json:"-"` // of the object, without the place's prefix
	Backup coffer.BackupID `json:"backup"`
	Kind   string          `json:"kind"`
	At     time.Time       `json:"at"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// State writes a statement of a known kind beside the archive, under a new name.
func State(ctx context.Context, p Place, id coffer.BackupID, kind string, body any) error {
	const op = "write a statement"
	if err := checkID(op, id); err != nil {
		return err
	}
	if kind != StatementVerified && kind != StatementHold && kind != StatementRelease {
		return coffer.E(coffer.KindInvalid, op, "unknown kind %q", kind)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	text, err := json.Marshal(Statement{Format: StatementFormat, Backup: id, Kind: kind, At: time.Now().UTC(), Body: raw})
	if err != nil || len(text) >= maxSmall {
		return coffer.E(coffer.KindInvalid, op, "the body is no JSON of less than %d bytes", maxSmall)
	}
	name := p.at(string(id) + statementInfix + kind + "." + coffer.NewNonce() + ".json")
	return coffer.Wrap(op, putOnce(ctx, p.Store, policyOr(retry.Policy{}), name, append(text, '\n')))
}

// Statements reads what was said of id, the oldest first, kinds that this version
// does not know included. One that cannot be read is an error: it may be a hold.
func Statements(ctx context.Context, p Place, id coffer.BackupID) ([]Statement, error) {
	const op = "read the statements"
	if err := checkID(op, id); err != nil {
		return nil, err
	}
	pol := policyOr(retry.Policy{})
	names, err := listOf(ctx, p, pol, id)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	var all []Statement
	for _, name := range names {
		if !strings.HasPrefix(name, p.at(string(id)+statementInfix)) {
			continue
		}
		if len(all) == maxStatements {
			return nil, coffer.E(coffer.KindCorrupt, op, "there are more than %d of backup %s", maxStatements, id)
		}
		s, err := readStatement(ctx, p, pol, id, name)
		if err != nil {
			return nil, coffer.Wrap(op, err)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Statement) int { return a.At.Compare(b.At) })
	return all, nil
}

func readStatement(ctx context.Context, p Place, pol retry.Policy, id coffer.BackupID, name string) (Statement, error) {
	text, err := readWhole(ctx, p.Store, pol, name, maxSmall)
	if err != nil {
		return Statement{}, err
	}
	var s Statement
	if err := json.Unmarshal(text, &s); err != nil {
		return Statement{}, coffer.E(coffer.KindCorrupt, "", "object %s: %w", name, err)
	}
	rel := strings.TrimPrefix(name, p.Prefix)
	if s.Format != StatementFormat || s.Backup != id || !strings.HasPrefix(rel, string(id)+statementInfix+s.Kind+".") {
		return Statement{}, coffer.E(coffer.KindCorrupt, "", "object %s is no statement about backup %s", name, id)
	}
	s.Name = rel
	return s, nil
}
