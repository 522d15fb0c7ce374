package store

import (
	"context"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
)

// Retry is s with patience: a call that answers KindUnavailable is made again as
// policy says. Calls that may be repeated (Open, Stat, Delete, Part, Abort, a
// listing, and Begin, whose leftovers are Stale) simply are; a reading that
// breaks goes on where it broke, a listing after the last name. Put and Complete
// are repeated only after a look that says "not done" (see [Settle]): so an
// answer that was lost becomes the answer, and a doubt that looking does not end
// stays KindUnknown.
func Retry(s Full, policy retry.Policy) Full { return &retrying{s: s, policy: policy} }

type retrying struct {
	s      Full
	policy retry.Policy
}

var _ Full = (*retrying)(nil)

// again repeats f, which must be idempotent.
func again[T any](ctx context.Context, r *retrying, op string, f func(context.Context) (T, error)) (out T, err error) {
	err = r.policy.Do(ctx, op, func(ctx context.Context) error {
		out, err = f(ctx)
		return err
	})
	return out, err
}

func (r *retrying) Stat(ctx context.Context, name string) (Object, error) {
	return again(ctx, r, "look at "+name, func(ctx context.Context) (Object, error) { return r.s.Stat(ctx, name) })
}

func (r *retrying) Delete(ctx context.Context, name string) error {
	return r.policy.Do(ctx, "delete "+name, func(ctx context.Context) error { return r.s.Delete(ctx, name) })
}

func (r *retrying) Begin(ctx context.Context, name string, meta Meta) (Upload, error) {
	return again(ctx, r, "begin "+name, func(ctx context.Context) (Upload, error) { return r.s.Begin(ctx, name, meta) })
}

func (r *retrying) Part(ctx context.Context, u Upload, i int, off int64, b Body) (Part, error) {
	return again(ctx, r, "write part of "+u.Name, func(ctx context.Context) (Part, error) { return r.s.Part(ctx, u, i, off, b) })
}

func (r *retrying) Abort(ctx context.Context, u Upload) error {
	return r.policy.Do(ctx, "abort "+u.Name, func(ctx context.Context) error { return r.s.Abort(ctx, u) })
}

func (r *retrying) Put(ctx context.Context, name string, b Body, meta Meta) (Object, error) {
	return r.publish(ctx, "write "+name,
		func(ctx context.Context) (Object, error) { return r.s.Put(ctx, name, b, meta) },
		func(ctx context.Context) (Object, error) { return Settle(ctx, r, name, b.Size(), b.SHA256()) })
}

func (r *retrying) Complete(ctx context.Context, u Upload, parts []Part) (Object, error) {
	return r.publish(ctx, "complete "+u.Name,
		func(ctx context.Context) (Object, error) { return r.s.Complete(ctx, u, parts) },
		func(ctx context.Context) (Object, error) { return SettleParts(ctx, r, u.Name, parts) })
}

// publish makes a call that must not happen twice. After a try whose effect is in
// doubt it looks: done ends it, not done allows another try, and only then do
// KindExists (the first try landed late) and KindNotFound (the upload has ended)
// send it to look as well.
func (r *retrying) publish(ctx context.Context, op string, call, look func(context.Context) (Object, error)) (o Object, err error) {
	doubt := false
	err = r.policy.Do(ctx, op, func(ctx context.Context) error {
		var failed error
		o, failed = call(ctx)
		unclear := coffer.IsKind(failed, coffer.KindUnavailable, coffer.KindUnknown)
		if failed == nil || !unclear && !(doubt && coffer.IsKind(failed, coffer.KindExists, coffer.KindNotFound)) {
			return failed
		}
		doubt = true
		var looked error
		if o, looked = look(ctx); !coffer.IsKind(looked, coffer.KindNotFound) {
			return looked
		}
		if unclear { // not done: another try is safe
			return coffer.E(coffer.KindUnavailable, op, "%w", failed).WithHint("%s", coffer.HintOf(failed))
		}
		return failed
	})
	if err != nil {
		return Object{}, err
	}
	return o, nil
}
