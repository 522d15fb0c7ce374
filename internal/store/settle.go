package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/cofferdb/coffer"
)

// settleBytes is the most that settling reads back: the largest part.
const settleBytes = 64 << 20

// Settle answers a doubt: a Put of name, of size bytes with the SHA-256 sum
// (hex; "" is not known), may or may not have happened. The answer is nil: done,
// and that is the object; KindNotFound: not done; KindExists: the name is taken
// by something else; KindUnknown: the store does not say. Where the store keeps
// no sum, an object of up to 64 MiB is read back; a larger one is taken by its
// size.
func Settle(ctx context.Context, s Store, name string, size int64, sum string) (Object, error) {
	op := "settle whether " + name + " is stored"
	o, err := sized(ctx, s, op, name, size)
	if err != nil || sum == "" {
		return o, err
	}
	if o.SHA256 == "" {
		return o, compare(ctx, s, op, name, Part{Size: size, SHA256: sum})
	}
	if o.SHA256 != sum {
		return Object{}, other(op, size)
	}
	return o, nil
}

// SettleParts is Settle for a Complete: the size is compared, and the last part
// that is not empty is read back, so that another upload of the same size is
// told apart.
func SettleParts(ctx context.Context, s Store, name string, parts []Part) (Object, error) {
	op := "settle whether " + name + " is complete"
	var last Part
	var size int64
	for _, p := range parts {
		if size += p.Size; p.Size > 0 {
			last = p
		}
	}
	o, err := sized(ctx, s, op, name, size)
	if err != nil || last.Size == 0 {
		return o, err
	}
	return o, compare(ctx, s, op, name, last)
}

// sized is the object, if it is there and has that size.
func sized(ctx context.Context, s Store, op, name string, size int64) (Object, error) {
	o, err := s.Stat(ctx, name)
	if err != nil {
		return Object{}, unsettled(op, err)
	}
	if o.Size != size {
		return Object{}, coffer.E(coffer.KindExists, op, "the name holds %d bytes, not %d", o.Size, size)
	}
	return o, nil
}

// compare reads p's range of the object back and compares its sum.
func compare(ctx context.Context, s Store, op, name string, p Part) error {
	if p.Size > settleBytes {
		return nil
	}
	r, err := s.Open(ctx, name, p.Offset, p.Size)
	if err != nil {
		return unsettled(op, err)
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return unsettled(op, err)
	}
	if hex.EncodeToString(h.Sum(nil)) != p.SHA256 {
		return other(op, p.Size)
	}
	return nil
}

func other(op string, size int64) error {
	return coffer.E(coffer.KindExists, op, "the name holds %d other bytes", size)
}

// unsettled says that looking has failed. Only a clear answer keeps its kind.
func unsettled(op string, err error) error {
	if coffer.IsKind(err, coffer.KindNotFound, coffer.KindInvalid, coffer.KindCanceled) {
		return coffer.Wrap(op, err)
	}
	return coffer.E(coffer.KindUnknown, op, "%w", err).WithHint("look at the store, then try again: the object may be there")
}
