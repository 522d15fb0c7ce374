package mysql

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"slices"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

const opSynthesize = "join the backups into a full"

// Synthesize joins the chain into the stream of a full backup. What it makes passes
// the same stream that follows the tool: it is checked, indexed and summed up as the
// tool's own would be.
func (e *Engine) Synthesize(ctx context.Context, out engine.Sink, chain []engine.Layer, summary []byte, opt engine.Options) (engine.Result, error) {
	s := &synthesis{chain: chain, stream: newStream(out, engine.Base{}, 0)}
	if err := s.remember(summary); err != nil {
		return engine.Result{}, coffer.Wrap(opSynthesize, err)
	}
	plan, lists, err := joinMergeable(ctx, chain, cmp.Or(opt.SpoolDir, e.cfg.StateDir))
	if err != nil {
		return engine.Result{}, coffer.Wrap(opSynthesize, err)
	}
	defer lists.Close()
	if err := s.write(ctx, plan, opt.Progress); err != nil {
		return engine.Result{}, coffer.Wrap(opSynthesize, err)
	}
	res, err := s.result()
	res.Method = string(cmp.Or(e.cfg.Method, engine.MariaBackup))
	return res, coffer.Wrap(opSynthesize, err)
}

// joinMergeable plans the merge of a chain of which no link forbids it. The page lists
// are all that is ever on a disk.
func joinMergeable(ctx context.Context, chain []engine.Layer, dir string) (*layers.Plan, *os.File, error) {
	if len(chain) == 0 {
		return nil, nil, coffer.E(coffer.KindNotFound, "read the chain", "it is empty")
	}
	if err := coffer.Mergeable(positionsOf(chain)); err != nil {
		return nil, nil, err
	}
	return checkedChain(ctx, chain, dir, nil)
}

// synthesis is one full backup in the making.
type synthesis struct {
	chain  []engine.Layer
	stream *stream
	known  *summary // what the last link's says; nil is unknown
}

// remember takes the last link's summary. No layer has the tables' own ids, nor says
// which pages were in use and in no layer yet: without the summary the next increment
// could not see that some were lost.
func (s *synthesis) remember(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if _, err := parseSummary(text); err != nil { // its version, and that it can be read
		return err
	}
	s.known = new(summary)
	return json.Unmarshal(text, s.known)
}

// result judges the stream that was made by what the last link has promised.
func (s *synthesis) result() (engine.Result, error) {
	info, err := s.stream.finish()
	if err != nil {
		return engine.Result{}, err
	}
	pos := s.chain[len(s.chain)-1].Position()
	const op = "compare the full with its last link"
	switch {
	case info.To != pos.To || info.Last != pos.Last || info.RedoStart != pos.RedoStart:
		return engine.Result{}, coffer.E(coffer.KindCorrupt, op, "the files say LSN %d, %d and redo from %d, the manifest of backup %s %d, %d and %d",
			info.To, info.Last, info.RedoStart, s.chain[len(s.chain)-1].Backup(), pos.To, pos.Last, pos.RedoStart)
	case info.PageSize != pos.PageSize || info.DataFilePath != pos.DataFilePath || info.UndoSpaces != pos.UndoSpaces:
		return engine.Result{}, coffer.E(coffer.KindCorrupt, op, "the files are of a server with other tablespaces than the manifest of backup %s says",
			s.chain[len(s.chain)-1].Backup())
	}
	if err := s.complete(); err != nil {
		return engine.Result{}, err
	}
	pos.From, pos.PageLists = 0, info.PageLists
	res := engine.Result{Position: pos, Tool: info.ToolVersion}
	res.Summary, err = s.summary()
	return res, err
}

// complete sees that every tablespace which the chain is known to have is there, by
// its name, and no other.
func (s *synthesis) complete() error {
	if s.known == nil {
		return nil
	}
	const op = "compare the full with the chain's summary"
	made := make(map[uint32]string)
	for name, p := range s.stream.final {
		if p.id != 0 {
			made[p.id] = name
		}
	}
	for _, sp := range s.known.Spaces {
		if made[sp.ID] != sp.Name {
			return coffer.E(coffer.KindCorrupt, op, "tablespace %d, which is %s there, is %q in the full", sp.ID, sp.Name, made[sp.ID])
		}
	}
	if len(made) != len(s.known.Spaces) {
		return coffer.E(coffer.KindCorrupt, op, "%d tablespaces, the summary has %d", len(made), len(s.known.Spaces))
	}
	return nil
}

// summary is the last link's, of a chain that has every tablespace whole.
func (s *synthesis) summary() ([]byte, error) {
	if s.known == nil {
		return nil, nil
	}
	out := *s.known
	out.Spaces = slices.Clone(out.Spaces)
	for i := range out.Spaces {
		out.Spaces[i].Whole = true
	}
	out.Merges = true // as joinMergeable has seen of the last link, too
	return json.Marshal(out)
}

// fullCheckpointsOf is xtrabackup_checkpoints as a full has it, from the last link's.
func fullCheckpointsOf(b []byte, links int) ([]byte, error) {
	c, err := parseCheckpoints(b)
	if err != nil {
		return nil, err
	}
	if want := map[bool]string{true: "incremental", false: "full-backuped"}[links > 1]; c.kind != want {
		return nil, coffer.E(coffer.KindCorrupt, "file "+checkpointsFile, "backup_type is %q, and not %q", c.kind, want)
	}
	return checkpointsOfFull(c.to, c.last), nil
}

var _ engine.Synthesizer = (*Engine)(nil)
