// Package store is the contract for places that keep named, whole, bounded
// objects: a file tree, Swift, S3. An object is visible all at once or not at
// all. Package storetest is the law that every store obeys; the folders beneath
// this one are the technologies; qualities (retry, limits, faults, write-once)
// are decorators of the same interfaces.
//
// A name is never written twice by Coffer. Writing to a name that exists answers
// KindExists, which a writer must read as "unknown": Stat, compare size and sum,
// only then decide. An answer may be lost: a Put or Complete that failed with
// KindUnknown (or KindUnavailable) may have happened.
//
// Names are UTF-8, use "/" as separator, are at most 900 bytes, never absolute,
// and have no empty, "." or ".." component, no NUL or control byte; anything else
// is KindInvalid. ETags are hints and decide nothing: our own sums do.
package store

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// Meta is what a store keeps beside an object: short ASCII keys and values.
type Meta map[string]string

// Object is what a store says of one object.
type Object struct {
	Name      string
	Size      int64     // bytes
	SHA256    string    // hex; "" where the store does not keep one
	ETag      string    // the store's own; a hint
	Modified  time.Time // by the store's clock; zero where unknown
	KeptUntil time.Time // the store refuses a delete before; zero is never
	Meta      Meta      // filled by Stat only, where the store has it
}

// Store keeps named, whole objects of bounded size. All methods may be called by
// many goroutines. Errors are *coffer.Error: KindNotFound for an absent object,
// KindExists for a name that is taken, KindKept for a delete that a retention
// refuses, KindNoSpace, KindUnavailable (try again), KindUnknown (look first).
type Store interface {
	// Put writes one object of b.Size() bytes, durable when it returns.
	Put(ctx context.Context, name string, b Body, meta Meta) (Object, error)
	// Open reads n bytes from off; n < 0 is to the end. A range beyond the end
	// is KindInvalid; fewer bytes than asked end in io.ErrUnexpectedEOF.
	Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error)
	// Stat says what is there.
	Stat(ctx context.Context, name string) (Object, error)
	// List yields the objects whose name begins with prefix, in byte order of
	// names. It stops at the first error, which it yields.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Delete removes one object; an absent one is no error.
	Delete(ctx context.Context, name string) error
}

// Uploader makes one large object out of parts. An Upload is a value that
// travels: Begin, Part and Complete may happen in three processes.
type Uploader interface {
	// Begin starts an upload. KindExists if the object already exists.
	Begin(ctx context.Context, name string, meta Meta) (Upload, error)
	// Part stores part i (from 0), whose first byte lies at off of the whole.
	// It is idempotent by i: the same part may be sent again.
	Part(ctx context.Context, u Upload, i int, off int64, b Body) (Part, error)
	// Complete publishes the object made of parts, in order. Afterwards it is
	// done (nil), not done (any other kind), or KindUnknown / KindExists:
	// settle by Stat. A repeated Complete of a done upload may be KindExists.
	Complete(ctx context.Context, u Upload, parts []Part) (Object, error)
	// Abort forgets an upload and its parts; it never touches a completed
	// object. An unknown upload is no error.
	Abort(ctx context.Context, u Upload) error
	// Stale yields uploads under prefix that were begun and never ended.
	Stale(ctx context.Context, prefix string) iter.Seq2[Upload, error]
}

// Full is a store that does both.
type Full interface {
	Store
	Uploader
}

// Upload names one begun upload. Token is the store's own.
type Upload struct {
	Name  string    `json:"name"`
	Token string    `json:"token"`
	Begun time.Time `json:"begun,omitzero"`
}

// Part is one stored part.
type Part struct {
	Index  int    `json:"index"`
	Offset int64  `json:"offset"` // bytes from the start of the object
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // hex, computed by the sender
	MD5    string `json:"md5,omitempty"`
	Token  string `json:"token,omitempty"` // the store's own
}

// CheckName says whether name may name an object (KindInvalid otherwise).
func CheckName(name string) error {
	const op = "check the object's name"
	if name == "" || len(name) > 900 {
		return coffer.E(coffer.KindInvalid, op, "a name has 1 to 900 bytes, this one has %d", len(name))
	}
	for c := range strings.SplitSeq(name, "/") {
		if c == "" || c == "." || c == ".." {
			return coffer.E(coffer.KindInvalid, op, "%q has an empty or dotted component", name)
		}
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f || r == 0xfffd || r == '\\' {
			return coffer.E(coffer.KindInvalid, op, "%q has a control, backslash or broken character", name)
		}
	}
	return nil
}
