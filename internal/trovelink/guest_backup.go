package trovelink

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/engine"
)

// create accepts an order: when it returns, the order is on disk and the backup runs
// on in the background. One that comes while another runs is FAILED.
func (g *Guest) create(ctx, asked, life context.Context, info BackupInfo) error {
	if err := checkID(info.ID); err != nil {
		return err
	}
	r, err := readRequest(g.ContextOf(ctx))
	if err != nil {
		return err
	}
	o := &order{Info: info, Answers: r.answers()}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy {
		g.work.Go(func() {
			g.update(asked, r, Update{BackupID: info.ID, State: failed})
			g.say(asked, r, coffer.E(coffer.KindBusy, "take the backup", "another backup of this instance runs"))
		})
		return nil
	}
	if err := g.write(o); err != nil {
		return err
	}
	g.busy = true
	g.work.Go(func() { g.run(asked, life, r, o) })
	return nil
}

// lastWords is how long a stop waits for the end to be reported.
const lastWords = 10 * time.Second

// run takes the backup, until life ends, and reports how it ended.
func (g *Guest) run(asked, life context.Context, r Request, o *order) {
	end, err := g.backup(life, r, o.Info)
	end.BackupID = o.Info.ID
	good := err == nil
	end.Success, end.State = &good, completed
	if err != nil {
		end.State, o.Failure = failed, text(err)
		g.Log.Warn("a backup for Trove failed", "backup", o.Info.ID, "kind", coffer.KindOf(err), "err", err, "hint", coffer.HintOf(err))
	}
	o.End = &end
	if err := g.write(o); err != nil {
		g.Log.Warn("could not keep how a backup ended", "backup", o.Info.ID, "err", err)
	}
	words, stop := later(asked, lastWords)
	defer stop()
	g.finish(words, o)
}

// stream gives the engine's bytes to the compression. The archive's index is not
// Trove's: entries are not kept.
type stream struct{ *codec.Writer }

// Entry implements engine.Sink.
func (stream) Entry(engine.Entry) error { return nil }

var _ engine.Sink = stream{}

// backup takes one backup. What it gives is the last report, filled in as far as it
// came.
func (g *Guest) backup(ctx context.Context, r Request, info BackupInfo) (end Update, err error) {
	end.BackupType = "full"
	var base engine.Base
	if info.Parent != nil {
		end.BackupType = "incremental"
		if base, err = g.base(*info.Parent); err != nil {
			return end, err
		}
	}
	account, err := r.account(info, g.Region)
	if err != nil {
		return end, err
	}
	in := container{http: g.HTTP, account: account, name: containerOf(info), token: r.Token, patient: g.patient}
	facts, err := g.Engine.Probe(ctx, base)
	if err != nil {
		return end, coffer.Wrap("look at the database", err)
	}
	if facts.Method != "" && facts.Method != engine.MariaBackup {
		return end, coffer.E(coffer.KindUnsupported, "take the backup", "under Trove this agent does not use %s", facts.Method)
	}
	size := coffer.Sizes{Data: facts.DataBytes}.GiB()
	end.Size = &size
	begun := end
	begun.BackupID, begun.State = info.ID, building
	if !g.update(ctx, r, begun) {
		return end, coffer.Wrap("report the begin", context.Cause(ctx))
	}
	if info.Parent != nil {
		if err := unchanged(ctx, in, *info.Parent); err != nil {
			return end, err
		}
	}
	end.Checksum, err = g.store(ctx, in, info, base, folderBytes(facts))
	if err == nil {
		end.Location = location(account, in.name, objectName(info.ID))
	}
	return end, err
}

// unchanged says whether the parent still is what Trove has recorded. It is looked at
// in the caller's own account only: the token goes nowhere else.
func unchanged(ctx context.Context, in container, p Parent) error {
	const op = "look at the parent"
	account, name, object, err := split(p.Location)
	if err != nil {
		return err
	}
	if account != strings.TrimSuffix(in.account, "/") {
		return coffer.E(coffer.KindForbidden, op, "it is in another account, %s", account)
	}
	in.name = name
	etag, _, err := in.head(ctx, object)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if etag != p.Checksum {
		return coffer.E(coffer.KindNeedFull, op, "its ETag is %.60q, recorded is %.60q", etag, p.Checksum).WithHint("take a full backup")
	}
	return nil
}

// folderBytes is what the data folder's files use on disk, or all that is used on their
// filesystem (which Trove wants reported) where they cannot be counted. Files that come
// and go meanwhile do not matter: it is a forecast.
func folderBytes(facts engine.Facts) (bytes int64) {
	err := filepath.WalkDir(facts.DataDir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != facts.DataDir {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += st.Blocks * 512
		}
		return nil
	})
	if err != nil || facts.DataDir == "" {
		return facts.DataBytes
	}
	return bytes
}

// store streams the backup of a database of that size into the container, and gives
// its checksum.
func (g *Guest) store(ctx context.Context, in container, info BackupInfo, base engine.Base, dataBytes int64) (string, error) {
	if err := in.make(ctx); err != nil {
		return "", coffer.Wrap("make the container", err)
	}
	up := &upload{ctx: ctx, in: in, backup: info.ID, most: in.segments(ctx), size: partSize}
	if base.Full() { // what an increment comes to is seen while it streams
		if err := up.prepare(ctx, dataBytes); err != nil {
			return "", coffer.Wrap("prepare a large object", err)
		}
	}
	checksum, err := g.fill(ctx, up, info, base)
	if err == nil {
		return checksum, nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer stop()
	if e := up.abort(ctx); e != nil {
		return "", coffer.E(coffer.KindOf(err), "take the backup", "%w; what was stored of it stays: %w", err, e).WithHint("%s", coffer.HintOf(err))
	}
	return "", err
}

func (g *Guest) fill(ctx context.Context, up *upload, info BackupInfo, base engine.Base) (string, error) {
	w, err := codec.NewWriter(up, codec.Gzip, 0, nil)
	if err != nil {
		return "", err
	}
	opt := g.Options
	opt.Stock = true // Trove's guests restore it, without us
	res, err := g.Engine.Backup(ctx, stream{w}, base, opt)
	if err != nil {
		w.Fail(err)
		_ = w.Close() // waits for the workers; it has no other error to tell
		return "", coffer.Wrap("run the tool", err)
	}
	if err := w.Close(); err != nil {
		return "", coffer.Wrap("store the backup", err)
	}
	meta := map[string]string{
		metaLSN: strconv.FormatUint(res.Position.To, 10), metaDatastore: info.Datastore, metaVersion: info.DatastoreVersion,
	}
	if info.Parent != nil {
		meta[metaParentLocation], meta[metaParentChecksum] = info.Parent.Location, info.Parent.Checksum
	}
	checksum, err := up.finish(meta)
	if err != nil {
		return "", coffer.Wrap("store the backup", err)
	}
	return checksum, g.keep(info.ID, stood{Checksum: checksum, Position: res.Position, Summary: res.Summary})
}
