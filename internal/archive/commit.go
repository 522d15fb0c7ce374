package archive

import (
	"context"
	"errors"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// Outcome is what is known of a commit.
type Outcome int

// The outcomes. Unknown, the zero value, means that the manifest may be there or
// may still come to be: whoever gets it deletes nothing.
const (
	Unknown Outcome = iota
	NotDone
	Done
)

// String is the outcome in a word.
func (o Outcome) String() string {
	return [...]string{"unknown", "not done", "done"}[o]
}

// settleFor bounds the look after a lost answer.
const settleFor = 30 * time.Second

// Commit writes the manifest. Done: it was read back, or the store said so. NotDone:
// no write of it can ever land, err says why. Unknown: neither. It undoes nothing.
// No write begins after ctx has ended. It may be called again.
func (w *Writer) Commit(ctx context.Context) (Outcome, error) {
	const op = "commit the archive"
	w.use.Lock()
	defer w.use.Unlock()
	switch w.stage {
	case finished, asked:
	case done:
		return Done, nil
	default:
		return NotDone, coffer.E(coffer.KindConflict, op, "it was not finished, or was aborted")
	}
	start := time.Now()
	for try := 1; ; try++ {
		out, err := w.tryCommit(ctx)
		if out != Unknown || !coffer.IsKind(err, coffer.KindUnavailable) {
			return out, coffer.Wrap(op, err)
		}
		wait := w.o.Retry.Wait(try)
		late := w.o.Retry.Tries > 0 && try >= w.o.Retry.Tries || w.o.Retry.For > 0 && time.Since(start)+wait > w.o.Retry.For
		if late || retry.Sleep(ctx, wait) != nil {
			return Unknown, coffer.E(coffer.KindUnknown, op, "%w", err).WithHint("look whether object %s is there", w.manifestName())
		}
	}
}

func (w *Writer) manifestName() string { return w.p.at(ManifestName(w.in.Backup)) }

// tryCommit writes once and looks. Unknown with KindUnavailable may be tried again.
func (w *Writer) tryCommit(ctx context.Context) (Outcome, error) {
	if err := w.mayWrite(ctx); err != nil {
		if w.stage == asked {
			return Unknown, coffer.E(coffer.KindUnknown, "", "%w", err)
		}
		return NotDone, err
	}
	before := w.stage
	w.stage = asked
	err := put(ctx, w.p.Store, w.manifestName(), w.sealed.JSON)
	if err == nil {
		return w.committed()
	}
	same, look := w.lookBack(ctx)
	switch {
	case same:
		return w.committed()
	case look == nil:
		return Unknown, coffer.E(coffer.KindConflict, "compare object "+w.manifestName(), "it holds another manifest")
	case coffer.IsKind(look, coffer.KindNotFound) && isRefusal(err) && before == finished:
		w.stage = finished
		return NotDone, err
	case ctx.Err() != nil:
		return Unknown, coffer.E(coffer.KindUnknown, "", "%w", errors.Join(err, look))
	}
	return Unknown, coffer.E(coffer.KindUnavailable, "", "%w", errors.Join(err, look))
}

func (w *Writer) committed() (Outcome, error) {
	w.stage = done
	w.fail(context.Canceled) // releases the context; nothing runs in it any more
	return Done, nil
}

func (w *Writer) mayWrite(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if w.o.MayCommit != nil {
		return w.o.MayCommit()
	}
	return nil
}

// lookBack reads the manifest's object, also when ctx ended in the middle.
func (w *Writer) lookBack(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleFor)
	defer cancel()
	return holds(ctx, w.p.Store, w.manifestName(), w.sealed.JSON)
}

// isRefusal reports whether err is a store's clear no: nothing was written, and
// nothing will be.
func isRefusal(err error) bool {
	return coffer.IsKind(err, coffer.KindInvalid, coffer.KindUnauthorized, coffer.KindForbidden, coffer.KindNotFound,
		coffer.KindQuota, coffer.KindNoSpace, coffer.KindUnsupported, coffer.KindConflict)
}

// Abort gives the archive up: the writer refuses bytes, the encoders are closed
// into the void, the manifest is seen to be absent, then everything but the
// intent goes. If there is a manifest, or one may yet come to be, nothing is
// deleted and the error says so. It may be called again.
func (w *Writer) Abort(ctx context.Context) error {
	const op = "abort the archive"
	gone := coffer.E(coffer.KindCanceled, op, "the archive was given up")
	w.fail(gone)
	w.use.Lock()
	defer w.use.Unlock()
	w.close(gone)
	switch w.stage {
	case done:
		return coffer.E(coffer.KindConflict, op, "it is committed")
	case asked:
		return coffer.E(coffer.KindUnknown, op, "its commit was asked and may have happened").
			WithHint("look whether object %s is there", w.manifestName())
	}
	w.stage = aborted
	found, err := exists(ctx, w.p.Store, w.o.Retry, w.manifestName())
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if found {
		return coffer.E(coffer.KindConflict, op, "object %s is there: nothing was deleted", w.manifestName())
	}
	return coffer.Wrap(op, w.clean(ctx))
}

// undo is Abort for a Writer that was never handed out; it keeps the cause.
func (w *Writer) undo(ctx context.Context, cause error) error {
	w.close(cause)
	if err := w.clean(ctx); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// close ends every goroutine and file of w; nothing reaches the store any more.
func (w *Writer) close(cause error) {
	if w.frames != nil {
		w.frames.Fail(cause)
		_ = w.frames.Close() // its answer is the cause
	}
	w.data.drop()
	if w.index != nil {
		w.index.drop(cause)
	}
	if w.ixdata != nil {
		w.ixdata.drop()
	}
}

// clean ends the uploads that it knows and removes all of this backup's objects
// but the intent.
func (w *Writer) clean(ctx context.Context) error {
	names := w.data.names()
	var uploads []*volume
	uploads = append(uploads, w.data.volumes...)
	if w.ixdata != nil {
		names = append(names, w.ixdata.names()...)
		uploads = append(uploads, w.ixdata.volumes...)
	}
	for _, v := range uploads {
		if v.done || v.upload.Token == "" {
			continue
		}
		err := again(ctx, w.o.Retry, "end the upload of "+v.name, func(ctx context.Context) error {
			return w.p.Store.Abort(ctx, v.upload)
		})
		if err != nil {
			return err
		}
	}
	return clearData(ctx, w.p, w.o.Retry, w.in.Backup, names)
}
