package agent

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/message"
)

// boottime is CLOCK_BOOTTIME: it goes on while the machine sleeps and while this
// process is stopped.
func boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// grant is when the commit was last asked for, on CLOCK_BOOTTIME: an answer
// "granted" is true after that moment, and so bounds the writes of the manifest.
type grant struct {
	asked    atomic.Int64
	deadline time.Duration
	clock    func() time.Duration
}

// stands is nil while a write of the manifest may begin.
func (g *grant) stands() error {
	if at := g.asked.Load(); at == 0 || g.clock()-time.Duration(at) > g.deadline {
		return coffer.E(coffer.KindConflict, "write the manifest", "the deadline of the grant has passed")
	}
	return nil
}

// commit asks for the grant and writes the manifest. Once commit is sent this
// agent deletes nothing of the backup unless it is refused in so many words.
func (a *Agent) commit(ctx context.Context, o message.Order, e *entry, w *archive.Writer, g *grant, sealed archive.Sealed, t tail) (ended, error) {
	if err := context.Cause(ctx); err != nil {
		return ended{}, a.abort(ctx, w, err) // cancelled before anything was asked
	}
	// Kept before the commit: a backup that fails is nobody's parent, and one that
	// succeeds while this process dies still is.
	if err := a.keepTail(o.Instance.ID, t); err != nil {
		return ended{}, a.abort(ctx, w, coffer.Wrap("keep the chain's summary", err))
	}
	e.Commit = true
	if err := a.journal.put(*e); err != nil {
		e.Commit = false
		return ended{}, a.abort(ctx, w, coffer.Wrap("note the commit in the journal", err))
	}
	a.step("commit journaled")
	ctx, stop := a.outlive(ctx) // nobody can cancel what may be granted
	defer stop()
	var reply message.CommitReply
	err := a.call(ctx, "ask for the commit", func(ctx context.Context) (err error) {
		g.asked.Store(int64(g.clock()))
		reply, err = message.Commit.Call(ctx, a.Bus, message.Conductor, message.CommitArgs{
			Job: o.Job, Runner: e.Runner, ManifestSHA256: sealed.SHA256,
		})
		if err == nil && reply.Granted {
			// An answer that was long on its way is of no use; asked again it is given again.
			if late := g.stands(); late != nil {
				return coffer.E(coffer.KindUnavailable, "", "the grant came too late: %w", late)
			}
		}
		return answer(err)
	})
	a.step("commit answered")
	switch {
	case err != nil:
		return unknown("the commit was asked and nobody answered: " + text(err)), nil
	case !reply.Granted:
		e.Commit = false
		return ended{}, a.abort(ctx, w, coffer.E(coffer.KindConflict, "ask for the commit", "it was refused: %s", reply.Reason))
	}
	return a.writeManifest(ctx, w), nil
}

// writeManifest tries until it is done or the grant's deadline has passed.
func (a *Agent) writeManifest(ctx context.Context, w *archive.Writer) ended {
	ctx, stop := context.WithTimeout(ctx, 2*a.Config.Deadline)
	defer stop()
	out, err := w.Commit(ctx)
	a.step("manifest")
	if out == archive.Done {
		return ended{Outcome: string(message.Written)}
	}
	return unknown("the manifest could not be written: " + text(err))
}

func text(err error) string {
	if err == nil {
		return "no reason was given"
	}
	return err.Error()
}

func unknown(why string) ended {
	return ended{Outcome: string(message.Unknown), Error: why}
}
