package archive

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

// DefaultInFlight bounds the bytes between the codecs and the store: six parts of
// the first size. With seven a stalled agent passed 160 MiB (docs/BENCHMARKS.md).
const DefaultInFlight = 96 << 20

// Options shape one archive. The zero value is zstd, not encrypted; a volume then
// ends where the store's objects do.
type Options struct {
	Stream      string            // what the plain bytes are: "xbstream" (or ""), "tar" or "sql"
	Compression codec.Compression // "" is zstd
	Recipient   age.Recipient     // nil: not encrypted
	Workers     int               // compressing goroutines; 0 is one a core
	SpoolDir    string            // for the index, in a file without a name; "" is the system's
	InFlight    int64             // bytes; 0 is DefaultInFlight
	PartSize    func(i int) int64 // bytes of part i, counted over all volumes; nil is DefaultPartSize
	MaxObject   int64             // bytes; then the next volume begins; 0 is no limit
	MaxParts    int               // parts of a volume; 0, or more than the store takes, is what it takes
	MD5         bool              // note each part's MD5 as well
	Retry       retry.Policy      // of each step; the zero value is ten minutes of patience
	// MayCommit, where set, is asked before each write of the manifest begins; an
	// error forbids it. It holds the deadline of a grant on the caller's clock.
	MayCommit func() error
}

// DefaultPartSize is 128 parts of 16 MiB, 128 of 32 MiB, then 64 MiB.
func DefaultPartSize(i int) int64 {
	switch {
	case i < 128:
		return 16 << 20
	case i < 256:
		return 32 << 20
	}
	return 64 << 20
}

func (o Options) withDefaults() Options {
	if o.Stream == "" {
		o.Stream = "xbstream"
	}
	if o.Compression == "" {
		o.Compression = codec.Zstd
	}
	if o.InFlight <= 0 {
		o.InFlight = DefaultInFlight
	}
	o.InFlight = max(o.InFlight, 3)
	size := o.PartSize
	if size == nil {
		size = DefaultPartSize
	}
	most := max(1, o.InFlight/3*2) // so that one part fills while another is sent
	o.PartSize = func(i int) int64 { return min(size(i), most) }
	o.Retry = policyOr(o.Retry)
	return o
}

// within gives o with the bound that the store has for a volume's parts.
func (o Options) within(ctx context.Context, st store.Full) (Options, error) {
	err := again(ctx, o.Retry, "ask how many parts an object may have", func(ctx context.Context) error {
		n, err := store.MaxParts(ctx, st)
		if n > 0 && (o.MaxParts <= 0 || n < o.MaxParts) {
			o.MaxParts = n
		}
		return err
	})
	return o, err
}

// Writer writes one archive. Its life is one operation and the context of Create
// bounds it: when that ends, everything not yet stored is given up.
type Writer struct {
	p    Place
	in   Intent
	o    Options
	ctx  context.Context
	fail context.CancelCauseFunc // the first cause stays

	use    sync.Mutex // held by whoever writes or ends
	frames *codec.Writer
	seal   io.WriteCloser // age; nil for none
	data   *partWriter
	index  *indexWriter
	ixdata *partWriter // the index on its way; nil before Finish

	plain  atomic.Int64
	stage  stage
	sealed Sealed
}

// stage is how far a Writer has come; it only rises, but for a refused commit.
type stage int

const (
	writing  stage = iota
	ended          // Finish failed
	finished       // sealed, nothing asked yet
	asked          // a write of the manifest began: it may exist
	done           // it exists
	aborted
)

// Create writes the intent, first of all; the Writer is then ready for plain
// bytes. Every Writer ends in Commit or Abort.
func Create(ctx context.Context, p Place, in Intent, o Options) (*Writer, error) {
	const op = "begin the archive"
	o = o.withDefaults()
	in.Format = IntentFormat
	if in.Begun.IsZero() {
		in.Begun = time.Now().UTC()
	}
	if err := in.check(); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	if !knownStream(o.Stream) || o.Compression.Ext() == "" {
		return nil, coffer.E(coffer.KindInvalid, op, "unknown stream %q or compression %q", o.Stream, o.Compression)
	}
	o, err := o.within(ctx, p.Store)
	if err != nil {
		return nil, coffer.Wrap(op, err)
	}
	text, err := json.MarshalIndent(in, "", " ")
	if err != nil {
		return nil, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	if err := putOnce(ctx, p.Store, o.Retry, p.at(IntentName(in.Backup)), append(text, '\n')); err != nil {
		return nil, coffer.Wrap(op, err)
	}
	w := &Writer{p: p, in: in, o: o}
	w.ctx, w.fail = context.WithCancelCause(ctx)
	if err := w.open(); err != nil {
		w.fail(err)
		return nil, coffer.Wrap(op, w.undo(context.WithoutCancel(ctx), err))
	}
	return w, nil
}

// open builds the stack of writers, from the store upwards.
func (w *Writer) open() (err error) {
	rec := w.o.Recipient
	w.data = w.parts(func(i int) string {
		return w.p.at(VolumeName(w.in.Backup, i, w.o.Stream, w.o.Compression, rec != nil))
	})
	w.data.pool = newPool(w.o.InFlight)
	w.data.maxObject, w.data.maxParts, w.data.md5 = w.o.MaxObject, w.o.MaxParts, w.o.MD5
	encoders, err := codec.NewEncoders(w.o.Compression, w.o.Workers)
	if err != nil {
		return err
	}
	zstd := encoders // of the same backup's bytes, so the index may share them
	if w.o.Compression != codec.Zstd {
		if zstd, err = codec.NewEncoders(codec.Zstd, 1); err != nil {
			return err
		}
	}
	if w.index, err = newIndexWriter(w.o.SpoolDir, w.in.Backup, rec, zstd); err != nil {
		return err
	}
	dst := io.Writer(w.data)
	if rec != nil {
		if w.seal, err = codec.Encrypt(dst, rec); err != nil {
			return coffer.Wrap("encrypt the data", err)
		}
		dst = w.seal
	}
	w.frames = encoders.NewWriter(dst, w.o.Workers, w.index.frame)
	return nil
}

func (w *Writer) parts(name func(int) string) *partWriter {
	return &partWriter{
		ctx: w.ctx, fail: w.fail, st: w.p.Store, pol: w.o.Retry,
		name: name, partSize: w.o.PartSize, slots: make(chan struct{}, maxSending),
	}
}

// Write takes plain bytes. It blocks while the store is slow, and fails with the
// first failure of anything beneath.
func (w *Writer) Write(p []byte) (int, error) {
	w.use.Lock()
	defer w.use.Unlock()
	if err := w.refusal(); err != nil {
		return 0, err
	}
	n, err := w.frames.Write(p)
	w.plain.Add(int64(n))
	if err != nil {
		w.fail(err)
		return n, coffer.Wrap("write into the archive", context.Cause(w.ctx))
	}
	return n, nil
}

// refusal says why nothing more can be written, or nil.
func (w *Writer) refusal() error {
	if err := context.Cause(w.ctx); err != nil {
		return coffer.Wrap("write into the archive", err)
	}
	if w.stage != writing {
		return coffer.E(coffer.KindConflict, "write into the archive", "it has ended")
	}
	return nil
}

// Index adds one line to the file table: a JSON object.
func (w *Writer) Index(line any) error {
	w.use.Lock()
	defer w.use.Unlock()
	if err := w.refusal(); err != nil {
		return err
	}
	return w.index.entry(line)
}

// Plain is how many plain bytes were taken so far.
func (w *Writer) Plain() int64 { return w.plain.Load() }

// Stored is how many bytes of data the store has taken so far.
func (w *Writer) Stored() int64 { return w.data.stored.Load() }

var _ io.Writer = (*Writer)(nil)
