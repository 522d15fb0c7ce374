package store

import "context"

// Bounded is an optional power of a store: it knows how many parts an object may
// have. A decorator has it for the store beneath; see [MaxParts].
type Bounded interface {
	// MaxParts is how many parts an object may have; 0 is no limit.
	MaxParts(ctx context.Context) (int, error)
}

var (
	_ Bounded = (*limited)(nil)
	_ Bounded = (*retrying)(nil)
)

// MaxParts is how many parts an object of s may have, whatever decorates s; 0 is
// no limit. Whoever has more goes on in a next object.
func MaxParts(ctx context.Context, s Full) (int, error) {
	if b, ok := s.(Bounded); ok {
		return b.MaxParts(ctx)
	}
	return 0, nil
}

// MaxParts passes the question on.
func (l *limited) MaxParts(ctx context.Context) (int, error) { return MaxParts(ctx, l.Full) }

// MaxParts passes the question on, with patience.
func (r *retrying) MaxParts(ctx context.Context) (int, error) {
	return again(ctx, r, "ask how many parts an object may have", func(ctx context.Context) (int, error) { return MaxParts(ctx, r.s) })
}
