package archive

import (
	"context"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// finish sends what is left, waits for every part and publishes the volumes.
func (w *partWriter) finish() error {
	if w.fill > 0 && context.Cause(w.ctx) == nil {
		if err := w.send(true); err != nil {
			w.fail(err)
		}
	}
	w.tasks.Wait()
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	for _, v := range w.volumes {
		if v.whole {
			continue
		}
		if err := w.complete(v); err != nil {
			w.fail(err)
			return err
		}
		v.done = true
	}
	return nil
}

// put writes a small volume, whose bytes are read back where an answer says nothing.
func (w *partWriter) put(v *volume, content []byte) error {
	if err := putOnce(w.ctx, w.st, w.pol, v.name, content); err != nil {
		return err
	}
	w.stored.Add(v.size)
	return nil
}

// complete publishes one volume. An answer that says nothing is settled by
// looking: the name is this writer's alone, so an object of the right size is
// its own.
func (w *partWriter) complete(v *volume) error {
	parts := make([]store.Part, len(v.parts))
	for i, s := range v.parts {
		parts[i] = s.part
	}
	return again(w.ctx, w.pol, "complete object "+v.name, func(ctx context.Context) error {
		_, err := w.st.Complete(ctx, v.upload, parts)
		o, look := w.st.Stat(ctx, v.name)
		switch {
		case look == nil && o.Size == v.size:
			return nil
		case look == nil:
			return coffer.E(coffer.KindCorrupt, "compare object "+v.name, "it has %d bytes, %d were written", o.Size, v.size)
		case !coffer.IsKind(look, coffer.KindNotFound):
			return look
		case err == nil || coffer.IsKind(err, coffer.KindExists):
			return coffer.E(coffer.KindUnavailable, "", "it is not there after it was completed: %w", look)
		}
		return err
	})
}

// record is what the manifest says of the volumes; prefix is the place's.
func (w *partWriter) record(prefix string) []Volume {
	vs := make([]Volume, len(w.volumes))
	for i, v := range w.volumes {
		vs[i] = Volume{Name: v.name[len(prefix):], Size: v.size, Parts: make([]Part, len(v.parts))}
		for j, s := range v.parts {
			vs[i].Parts[j] = Part{Size: s.part.Size, SHA256: s.part.SHA256, MD5: s.md5}
		}
	}
	return vs
}

// drop waits for the uploads under way, which the context's end cuts short, and
// gives the memory back.
func (w *partWriter) drop() {
	w.tasks.Wait()
	w.pool.put(w.chunks)
	w.chunks, w.fill, w.target = nil, 0, 0
}

// names are the objects that may have come to be.
func (w *partWriter) names() []string {
	var names []string
	for _, v := range w.volumes {
		names = append(names, v.name)
	}
	return names
}
