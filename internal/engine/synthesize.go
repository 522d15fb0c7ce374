package engine

import "context"

// Synthesizer is an [Engine] that can join a chain into one full backup without its
// database.
type Synthesizer interface {
	// Synthesize streams chain (the full first, all of it mergeable) into out as the
	// full backup that a tool would have made when the last link was taken: the same
	// position, but from nothing. summary is what Result.Summary of the last link
	// was; with none the result has none, and nobody's increment can stand on it.
	// KindUnsupported says that the links do not allow it, KindCorrupt that one of
	// them holds something else than it promises. Only ranges of the layers are read.
	Synthesize(ctx context.Context, out Sink, chain []Layer, summary []byte, opt Options) (Result, error)
}
