package archive

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

// patience is how long one step is repeated where the caller names no policy.
const patience = 10 * time.Minute

func policyOr(p retry.Policy) retry.Policy {
	if p == (retry.Policy{}) {
		p.For = patience
	}
	return p
}

// again repeats an idempotent step also when nobody knows whether it happened.
func again(ctx context.Context, pol retry.Policy, op string, f func(context.Context) error) error {
	return pol.Do(ctx, op, func(ctx context.Context) error {
		return retryable(f(ctx))
	})
}

func retryable(err error) error {
	if coffer.KindOf(err) == coffer.KindUnknown {
		return coffer.E(coffer.KindUnavailable, "", "%w", err).WithHint("%s", coffer.HintOf(err))
	}
	return err
}

// readSmall reads a whole object of at most limit bytes.
func readSmall(ctx context.Context, st store.Store, name string, limit int64) ([]byte, error) {
	r, err := st.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, coffer.Wrap("open object "+name, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	switch {
	case err != nil:
		return nil, readError(name, err)
	case int64(len(b)) > limit:
		return nil, coffer.E(coffer.KindCorrupt, "read object "+name, "it has more than %d bytes", limit)
	}
	return b, nil
}

// readWhole is readSmall until the store answers.
func readWhole(ctx context.Context, st store.Store, pol retry.Policy, name string, limit int64) (b []byte, err error) {
	err = again(ctx, pol, "read object "+name, func(ctx context.Context) (err error) {
		b, err = readSmall(ctx, st, name, limit)
		return err
	})
	return b, err
}

// readError makes a broken connection worth another try; what has a kind of its
// own keeps it.
func readError(name string, err error) error {
	if coffer.KindOf(err) == coffer.KindInternal {
		return coffer.E(coffer.KindUnavailable, "read object "+name, "%w", err)
	}
	return coffer.Wrap("read object "+name, err)
}

// holds reports whether an object has exactly this content. An absent one is
// KindNotFound.
func holds(ctx context.Context, st store.Store, name string, content []byte) (bool, error) {
	o, err := st.Stat(ctx, name)
	if err != nil {
		return false, coffer.Wrap("look at object "+name, err)
	}
	if o.Size != int64(len(content)) {
		return false, nil
	}
	b, err := readSmall(ctx, st, name, int64(len(content)))
	if err != nil {
		return false, err
	}
	return bytes.Equal(b, content), nil
}

// putOnce writes a small object that only this caller writes. A name that is
// taken, and a lost answer, are settled by reading the object back.
func putOnce(ctx context.Context, st store.Store, pol retry.Policy, name string, content []byte) error {
	return again(ctx, pol, "write object "+name, func(ctx context.Context) error {
		err := put(ctx, st, name, content)
		if !coffer.IsKind(err, coffer.KindExists, coffer.KindUnknown, coffer.KindUnavailable) {
			return err
		}
		same, look := holds(ctx, st, name, content)
		switch {
		case same:
			return nil
		case look == nil:
			return coffer.E(coffer.KindConflict, "compare object "+name, "it holds something else")
		case coffer.IsKind(look, coffer.KindNotFound, coffer.KindUnavailable, coffer.KindUnknown):
			return coffer.E(coffer.KindUnavailable, "", "%w", err)
		}
		return look
	})
}

// put writes once. What the store answers for is compared; KindUnknown is another.
func put(ctx context.Context, st store.Store, name string, content []byte) error {
	body := store.Bytes(content)
	o, err := st.Put(ctx, name, body, nil)
	if err == nil && (o.Size != body.Size() || o.SHA256 != "" && o.SHA256 != body.SHA256()) {
		err = coffer.E(coffer.KindUnknown, "", "the store took something else")
	}
	return err
}

// exists asks whether an object is there, until the store knows.
func exists(ctx context.Context, st store.Store, pol retry.Policy, name string) (bool, error) {
	found := false
	err := again(ctx, pol, "look at object "+name, func(ctx context.Context) error {
		_, err := st.Stat(ctx, name)
		found = err == nil
		if coffer.KindOf(err) == coffer.KindNotFound {
			return nil
		}
		return err
	})
	return found, err
}
