package mysql

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/layers"
)

// The stock tool's prepare loses or refuses tables in scenes that it does not
// notice when it makes the backup. What an increment must know to see them coming
// is small: of every tablespace of its chain, its id, its name, and which pages
// the chain holds. That is the summary.
//
// An increment has the tablespaces of its own layer and no others (every live one
// is in every increment, if only as an empty delta), so a summary never grows
// beyond the tables that exist.

// space is what a summary says of one tablespace.
type space struct {
	ID    uint32 `json:"id"`
	Name  string `json:"name"`            // as in the stream, without extension: "shop/orders"
	Whole bool   `json:"whole,omitempty"` // some layer has it as a whole file
	Page0 bool   `json:"page0,omitempty"` // some delta has its first pages
	Table uint64 `json:"table,omitempty"` // InnoDB's table id; 0 is unknown

	// Pages are those that the chain holds, as a list of runs; none is not known.
	Pages []byte `json:"pages,omitempty"`
	// May are pages that are in use and that the chain lacks although nothing is
	// wrong, as their descriptors said at MayLSN.
	May    []byte `json:"may,omitempty"`
	MayLSN uint64 `json:"may_lsn,omitempty"`

	held, may layers.Pages // Pages and May, read
	mayLSN    uint64
}

// summary is engine.Result.Summary and engine.Base.Summary, as JSON.
type summary struct {
	Version int     `json:"v"`
	Merges  bool    `json:"merges,omitempty"` // the chain can be restored by a merge
	Spaces  []space `json:"spaces"`
}

const (
	summaryVersion = 1
	maxSpaces      = 1 << 20
	opSpaces       = "compare the tablespaces with the chain"
)

// chain is a summary's spaces, to be looked up.
type chain struct {
	merges bool
	byID   map[uint32]space
	byName map[string]space
}

func parseSummary(b []byte) (chain, error) {
	c := chain{byID: make(map[uint32]space), byName: make(map[string]space)}
	if len(b) == 0 {
		return c, nil
	}
	var s summary
	if err := json.Unmarshal(b, &s); err != nil || s.Version != summaryVersion {
		return c, coffer.E(coffer.KindNeedFull, "read the chain's summary", "it is damaged or of another version (%d)", s.Version).
			WithHint("take a full backup")
	}
	c.merges = s.Merges
	for _, sp := range s.Spaces {
		var err1, err2 error
		sp.held, err1 = layers.ReadPages(sp.Pages)
		sp.may, err2 = layers.ReadPages(sp.May)
		if err := cmp.Or(err1, err2); err != nil {
			return c, coffer.E(coffer.KindNeedFull, "read the chain's summary", "%w", err).WithHint("take a full backup")
		}
		sp.mayLSN, sp.Pages, sp.May = sp.MayLSN, nil, nil
		c.byID[sp.ID], c.byName[sp.Name] = sp, sp
	}
	return c, nil
}

// tableIDs are the server's table ids by space, before the tool started and after
// it ended. Only they tell of a tablespace that was discarded and imported: it
// keeps its id, and no increment holds a page of the import.
type tableIDs struct {
	before, after map[uint32]uint64 // nil is unknown
}

// mergeSummary judges the tablespaces of a layer against the summary of the chain
// it stands on (none for a full) and returns the summary with the layer on top.
// merges says that the chain with it can be merged; redo is the layer's redo start.
func mergeSummary(parent chain, full, merges bool, parts map[string]part, ids tableIDs, redo uint64) ([]byte, error) {
	if len(parts) > maxSpaces {
		return nil, coffer.E(coffer.KindUnsupported, opSpaces, "%d tablespaces, more than %d", len(parts), maxSpaces)
	}
	next := make(map[uint32]space, len(parts))
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		p := parts[name]
		if p.id == 0 {
			continue // the system tablespace, or one whose first page is not written yet
		}
		if other, ok := next[p.id]; ok {
			return nil, coffer.E(coffer.KindTool, opSpaces, "%s and %s are both tablespace %d", other.Name, name, p.id).
				WithHint("take the backup again; if it happens again, look for copied .ibd files")
		}
		sp, err := p.follow(name, parent.byID[p.id], full, ids, redo)
		if err != nil {
			return nil, err
		}
		next[p.id] = sp
	}
	out := summary{Version: summaryVersion, Merges: merges, Spaces: slices.SortedFunc(maps.Values(next),
		func(a, b space) int { return cmp.Compare(a.ID, b.ID) })}
	return json.Marshal(out)
}

// follow judges one tablespace against what the chain has of it. The table's id is
// remembered from before this backup and compared with that after the next, so
// that an import at any time between is seen.
func (p part) follow(name string, was space, full bool, ids tableIDs, redo uint64) (space, error) {
	now := ids.after[p.id]
	sp := space{
		ID: p.id, Name: name, Table: cmp.Or(ids.before[p.id], now, was.Table),
		Whole: p.whole || was.Whole, Page0: p.first || was.Page0,
	}
	switch {
	case full || p.whole:
	case !sp.Whole && !sp.Page0:
		return sp, needFull("table %s: no backup of the chain has its first pages, as after ALTER TABLE … IMPORT TABLESPACE", name)
	case now != 0 && was.Table != 0 && now != was.Table:
		return sp, needFull("table %s: its tablespace was discarded and imported since the parent backup", name)
	}
	if p.pages == nil {
		return sp, nil
	}
	held, may, lost := p.pages.onto(was, redo)
	if lost.Count() > 0 {
		return sp, needFull("%s", layers.Lost(name, lost))
	}
	sp.Pages, sp.May, sp.MayLSN = held.Bytes(), may.pages.Bytes(), may.lsn
	return sp, nil
}

func needFull(format string, args ...any) error {
	return coffer.E(coffer.KindNeedFull, opSpaces, format, args...).WithHint("take a full backup")
}
