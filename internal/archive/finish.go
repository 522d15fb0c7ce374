package archive

import (
	"context"
	"time"

	"github.com/cofferdb/coffer"
)

// Sealed is a finished archive that only lacks its commit: the manifest, its
// bytes and their sum, which the commit's grant is asked for.
type Sealed struct {
	Manifest Manifest
	JSON     []byte
	SHA256   string
}

// Finish ends the stream: encoders closed, every part answered for, the volumes
// and the index published. m says what the caller knows (tool, position, parent,
// data size, times); identity, codecs, volumes, index and the other sizes are
// filled in here. After a failure only Abort is left.
func (w *Writer) Finish(ctx context.Context, m Manifest) (Sealed, error) {
	const op = "finish the archive"
	w.use.Lock()
	defer w.use.Unlock()
	if err := w.refusal(); err != nil {
		return Sealed{}, coffer.Wrap(op, err)
	}
	w.stage = ended
	stop := context.AfterFunc(ctx, func() { w.fail(context.Cause(ctx)) })
	defer stop()
	if err := w.flush(); err != nil {
		w.fail(err)
		return Sealed{}, coffer.Wrap(op, context.Cause(w.ctx))
	}
	ix, err := w.storeIndex()
	if err != nil {
		w.fail(err)
		return Sealed{}, coffer.Wrap(op, context.Cause(w.ctx))
	}
	s, err := w.sealWith(m, ix)
	if err != nil {
		w.fail(err)
		return Sealed{}, coffer.Wrap(op, err)
	}
	w.sealed, w.stage = s, finished
	return s, nil
}

// flush closes the encoders from above, then the data.
func (w *Writer) flush() error {
	if err := w.frames.Close(); err != nil {
		return coffer.Wrap("end the frames", err)
	}
	if w.seal != nil {
		if err := w.seal.Close(); err != nil {
			return coffer.Wrap("end the encryption", err)
		}
	}
	return w.data.finish()
}

func (w *Writer) storeIndex() (*Index, error) {
	name := IndexName(w.in.Backup, w.seal != nil)
	w.ixdata = w.parts(func(int) string { return w.p.at(name) })
	w.ixdata.pool = w.data.pool
	size, sum, err := w.index.finish(w.ixdata)
	if err != nil {
		return nil, err
	}
	if err := w.ixdata.finish(); err != nil {
		return nil, err
	}
	w.index.drop(nil)
	return &Index{Name: name, Size: size, SHA256: sum}, nil
}

// sealWith fills the manifest and holds it to the law that readers will.
func (w *Writer) sealWith(m Manifest, ix *Index) (Sealed, error) {
	m.Format, m.Needs = ManifestFormat, []string{}
	if m.Position.MergeOnly != "" {
		m.Needs = append(m.Needs, NeedMerge)
	}
	m.Installation, m.Backup, m.Runner = w.in.Installation, w.in.Backup, w.in.Runner
	m.Project, m.Instance = w.in.Project, w.in.Instance
	m.Stream, m.Compression, m.Encryption = w.o.Stream, w.o.Compression, ""
	if w.seal != nil {
		m.Encryption = encryptionAge
	}
	m.Frames, m.Volumes, m.Index = w.index.frames, w.data.record(w.p.Prefix), ix
	if m.Root == "" && m.Parent == nil {
		m.Root = m.Backup
	}
	m.Sizes.Plain = w.plain.Load()
	m.Sizes.Stored = m.DataBytes() + ix.Size
	if m.Finished.IsZero() {
		m.Finished = time.Now().UTC()
	}
	text, sum, err := m.marshal()
	if err != nil {
		return Sealed{}, err
	}
	if m, err = ParseManifest(text); err != nil {
		return Sealed{}, coffer.E(coffer.KindInternal, "check our own manifest", "%w", err)
	}
	return Sealed{Manifest: m, JSON: text, SHA256: sum}, nil
}
