package mysql

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// load turns a dump into a data folder: it installs an empty database there, runs a
// server on it that nobody else can reach, and streams the dump into that through
// one session, which stops at the first error. A load that fails leaves the target
// empty, as a restore of files does.
func (e *Engine) load(ctx context.Context, target engine.Target, layers []engine.Layer) error {
	if err := checkTarget(target); err != nil {
		return coffer.Wrap(opRestore, err)
	}
	if len(layers) != 1 {
		return coffer.E(coffer.KindInvalid, opRestore, "a dump stands alone, and not in a chain of %d", len(layers))
	}
	tools, err := e.loadTools()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(target.Dir)
	if err != nil {
		return coffer.Wrap(opRestore, err)
	}
	defer root.Close()
	if err := mark(root); err != nil {
		return coffer.Wrap(opRestore, err)
	}
	r := &restorer{target: target, root: root, total: layers[0].PlainBytes()}
	r.lowerCase = layers[0].Position().LowerCase
	l := &loader{restorer: r, tools: tools, layer: layers[0]}
	if err = l.run(ctx); err == nil {
		err = r.seal()
	}
	if err != nil {
		return coffer.Wrap(opRestore, errors.Join(err, empty(root)))
	}
	return nil
}

func (e *Engine) loadTools() (t Tools, err error) {
	for _, want := range []struct {
		path       *string
		configured string
		program    string
	}{
		{&t.Server, e.cfg.Tools.Server, "mariadbd"}, {&t.Client, e.cfg.Tools.Client, "mariadb"},
		{&t.Install, e.cfg.Tools.Install, "mariadb-install-db"},
	} {
		if *want.path, err = lookTool(want.configured, want.program); err != nil {
			return t, err
		}
	}
	return t, nil
}

// loader is one load.
type loader struct {
	*restorer
	tools Tools
	layer engine.Layer
	marks *dumpMarks
}

// loadOptions are the new server's: what a server needs that is started on the
// folder later ([Engine.ServerOptions] reads them there), and what keeps this one
// to itself.
const loadOptions = `[mysqld]
innodb_data_file_path=ibdata1:12M:autoextend
innodb_page_size=16384
innodb_undo_tablespaces=0
`

func (l *loader) run(ctx context.Context) error {
	text, err := l.source(ctx)
	if err != nil {
		return err
	}
	defer text.Close()
	if err := l.root.WriteFile(optionsFile, []byte(loadOptions), 0o600); err != nil {
		return err
	}
	if err := l.noteNames(); err != nil {
		return err
	}
	if err := l.own(l.root); err != nil {
		return err
	}
	l.progress("install")
	if err := l.install(ctx); err != nil {
		return err
	}
	s, err := l.start(ctx)
	if err != nil {
		return err
	}
	err = l.feed(ctx, text)
	if err == nil {
		err = l.accounts(ctx, s)
	}
	return errors.Join(err, s.stop(err != nil))
}

// source is the dump, or the sections of the databases that were asked for behind
// what stands before all.
func (l *loader) source(ctx context.Context) (io.ReadCloser, error) {
	l.marks = newDumpMarks()
	if len(l.target.Databases) == 0 {
		return l.layer.Stream(ctx)
	}
	var chunks []engine.Chunk
	var found, all []string
	for e, err := range l.layer.Entries(ctx) {
		if err != nil {
			return nil, coffer.Wrap("read the dump's table of sections", err)
		}
		wanted := slices.Contains(l.target.Databases, e.Name)
		switch {
		case e.Kind == engine.KindDatabase && wanted:
			found = append(found, e.Name)
		case e.Kind == engine.KindDatabase:
			all = append(all, e.Name)
			continue
		case e.Kind != engine.KindHead:
			continue
		}
		chunks = append(chunks, e.Chunks...)
	}
	for _, name := range l.target.Databases {
		if !slices.Contains(found, name) {
			return nil, coffer.E(coffer.KindNotFound, "find the database in the dump", "there is no %q", name).
				WithHint("there are %s", strings.Join(append(all, found...), ", "))
		}
	}
	return &sectionReader{ctx: ctx, layer: l.layer, chunks: chunks}, nil
}

// sectionReader reads chunks one behind the other.
type sectionReader struct {
	ctx    context.Context // of the one load that reads
	layer  engine.Layer
	chunks []engine.Chunk
	now    io.ReadCloser
}

// Read reads from the present chunk; io.EOF comes behind the last one.
func (s *sectionReader) Read(p []byte) (int, error) {
	for {
		if s.now == nil {
			if len(s.chunks) == 0 {
				return 0, io.EOF
			}
			c := s.chunks[0]
			r, err := s.layer.Range(s.ctx, c.Plain, c.Len)
			if err != nil {
				return 0, err
			}
			s.now, s.chunks = r, s.chunks[1:]
		}
		n, err := s.now.Read(p)
		if errors.Is(err, io.EOF) {
			err = s.Close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Close ends the present chunk.
func (s *sectionReader) Close() error {
	if s.now == nil {
		return nil
	}
	err := s.now.Close()
	s.now = nil
	return err
}
