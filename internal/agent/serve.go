package agent

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/host"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/internal/store"
)

// replay ends, in their runner's name, the jobs of earlier lives. A job whose
// commit was sent is not failed: the control plane is asked to look.
func (a *Agent) replay(ctx context.Context) error {
	all, err := a.journal.all()
	if err != nil {
		return err
	}
	var said sync.WaitGroup // a job that is still looked at keeps no other waiting
	defer said.Wait()
	for _, e := range all {
		if e.Runner == a.runner() {
			continue // begun in this life, before we came to look
		}
		if e.Ended == nil {
			_ = a.undo(ctx, e) // said in the log; what is left bears the mark of an unfinished restore
			w := ended{
				Outcome: string(message.Failed), Kind: string(coffer.KindUnavailable),
				Error: "the agent was restarted in the middle of the job", Hint: "ask again",
			}
			if e.Commit {
				w = unknown("the agent was restarted after it had asked for the commit")
			}
			e.Ended = &w
		}
		said.Go(func() { a.say(ctx, e, &diary{seq: uint64(time.Now().UnixMilli())}) })
	}
	return nil
}

// undo removes a restore's half-made server or files, of an earlier life or of a
// job that was given up meanwhile.
func (a *Agent) undo(ctx context.Context, e entry) (err error) {
	switch {
	case e.Table != nil:
		a.undoTable(ctx, e.Job, *e.Table)
	case e.Files != nil:
		err = a.discard(*e.Files)
	case e.Slot != "" && a.Host != nil:
		err = a.Host.Remove(ctx, e.Slot)
	}
	if coffer.IsKind(err, coffer.KindNotFound) {
		err = nil
	}
	if err != nil {
		a.Log.Error("could not remove what a failed restore has made", "job", e.Job, "err", err, "hint", coffer.HintOf(err))
	}
	return err
}

// heartbeats says that the agent lives and serves the instances that it is told.
// After a registration it asks often for a while, and ever more seldom: the
// instance's row comes to be only after the agent has answered.
func (a *Agent) heartbeats(ctx context.Context) error {
	gap := a.Config.Heartbeat
	for {
		wait := gap
		if err := a.heartbeat(ctx); err != nil && ctx.Err() == nil {
			a.Log.Debug("no answer to a heartbeat", "err", err)
			wait = min(200*time.Millisecond, gap)
		}
		gap = min(2*gap, a.Config.Heartbeat)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-a.wake:
			gap = min(100*time.Millisecond, a.Config.Heartbeat)
		}
	}
}

func (a *Agent) heartbeat(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	a.beating.Lock() // an older answer must not undo a newer one
	defer a.beating.Unlock()
	a.beats++
	args := message.HeartbeatArgs{
		Agent: a.ID, Boot: a.Boot, Beat: a.beats, Version: a.Config.Version, Host: a.Host != nil, At: a.Now(),
	}
	if a.Host != nil {
		args.DataDir = a.Host.Dir()
		args.Free, _ = a.Host.Free() // unknown is zero: nothing is placed here
		args.Health = map[coffer.InstanceID]string{}
		for _, r := range a.Host.Running() {
			if h := health(r); h != "" {
				args.Health[r.Instance] = h
			}
		}
		slots, err := a.Host.Slots()
		if err != nil {
			return coffer.Wrap("list the restored servers", err)
		}
		for _, s := range slots {
			args.Slots = append(args.Slots, s.Instance)
		}
	}
	cctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	r, err := message.Heartbeat.Call(cctx, a.Bus, message.Conductor, args)
	if err != nil {
		return err
	}
	live := map[coffer.InstanceID]bool{}
	for _, in := range r.Instances {
		live[in.ID] = true
		a.serveInstance(in.ID)
	}
	for _, id := range r.Deleted {
		a.clear(id)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, stop := range a.serving {
		if !live[id] {
			stop()
			delete(a.serving, id)
		}
	}
	return nil
}

// clear removes a deleted instance's server, unless that is being done. What fails
// is tried again after the next heartbeat.
func (a *Agent) clear(id coffer.InstanceID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.clearing[id] || a.life.Err() != nil {
		return
	}
	a.clearing[id] = true
	a.group.Go(func() error {
		if _, err := a.forget(a.life, message.InstanceRef{Instance: id}); err != nil && a.life.Err() == nil {
			a.Log.Warn("could not remove a deleted instance's server", "instance", id, "err", err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.clearing, id)
		return nil
	})
}

// health is a restored server's state in Trove's words. One that is starting has
// none: what was last said of it stands until it answers or ends.
func health(r host.Running) string {
	switch {
	case !r.Alive:
		return "CRASHED"
	case r.Up:
		return "HEALTHY"
	}
	return ""
}

// Refresh asks for the agent's instances now, and serves them when it returns.
func (a *Agent) Refresh(ctx context.Context) error {
	return coffer.Wrap("ask which instances to look after", a.call(ctx, "heartbeat", a.heartbeat))
}

// serveInstance opens the instance's topic, once.
func (a *Agent) serveInstance(id coffer.InstanceID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, on := a.serving[id]; on || a.life.Err() != nil {
		return
	}
	ictx, stop := context.WithCancel(a.life)
	a.serving[id] = stop
	mux := bus.Mux{}
	bus.Handle(mux, message.Start, func(_ context.Context, r message.JobRef) (message.None, error) {
		return message.None{}, a.start(r.Job)
	})
	bus.Handle(mux, message.Cancel, a.cancel)
	ready := make(chan struct{})
	a.group.Go(func() error {
		return a.Bus.Serve(ictx, message.GuestAgent(id), mux.Serve, func() { close(ready) })
	})
	select {
	case <-ready:
	case <-ictx.Done():
	}
}

// forget stops looking after a deleted instance; a server that we made goes too.
func (a *Agent) forget(ctx context.Context, r message.InstanceRef) (message.None, error) {
	a.mu.Lock()
	if stop := a.serving[r.Instance]; stop != nil {
		stop()
		delete(a.serving, r.Instance)
	}
	a.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(a.Config.StateDir, "chains", filepath.Base(string(r.Instance)))); err != nil {
		return message.None{}, coffer.E(coffer.KindInternal, "forget the chain's summaries", "%w", err)
	}
	if a.Host == nil {
		return message.None{}, nil
	}
	err := a.Host.Remove(ctx, r.Instance)
	if coffer.IsKind(err, coffer.KindNotFound) {
		err = nil
	}
	return message.None{}, coffer.Wrap("remove the server", err)
}

// register looks at a running server and leaves a probe object in the store, for
// the control plane to read back.
func (a *Agent) register(ctx context.Context, r message.RegisterArgs) (message.RegisterReply, error) {
	eng, err := a.Engines.Engine(r.Conn)
	if err != nil {
		return message.RegisterReply{}, coffer.Wrap("choose the engine", err)
	}
	f, err := eng.Probe(ctx, engine.Base{})
	if err != nil {
		return message.RegisterReply{}, coffer.Wrap("look at the server", err)
	}
	s, err := a.Stores.Open(ctx, r.StoreName)
	if err != nil {
		return message.RegisterReply{}, coffer.Wrap("open the store "+r.StoreName, err)
	}
	container := "probe"
	if p, ok := a.Stores.(Placer); ok && p.Own(r.StoreName) {
		if container, _, err = p.Choose(ctx, r.StoreName, r.Project, r.Instance, ""); err != nil {
			return message.RegisterReply{}, err
		}
	}
	body := store.Bytes([]byte(coffer.NewNonce()))
	name := coffer.Prefix(r.Project, container) + string(r.Instance) + "." + coffer.NewNonce()[:8]
	if _, err := s.Put(ctx, name, body, nil); err != nil {
		return message.RegisterReply{}, coffer.Wrap("write a probe object into the store", err)
	}
	conn := r.Conn
	conn.DataDir = f.DataDir
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return message.RegisterReply{
		Datastore: f.Datastore, Conn: conn, DataBytes: f.DataBytes, Warnings: f.Warnings,
		ProbeObject: name, ProbeSHA256: body.SHA256(),
	}, nil
}

func (a *Agent) identities(ctx context.Context, p archive.Place, k coffer.KeyID) ([]age.Identity, error) {
	if a.Keys == nil {
		return nil, coffer.E(coffer.KindForbidden, "open the data key", "this agent holds no identity").
			WithHint("restore on a host agent that has the operator's identity file")
	}
	return a.Keys.Identities(ctx, p, k)
}
