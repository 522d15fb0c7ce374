package archive

import (
	"context"
	"io"

	"github.com/cofferdb/coffer"
)

// The states of an index in a VerifyReport.
const (
	IndexOK      = "ok"
	IndexNone    = "none"    // the archive was written without one
	IndexUnread  = "unread"  // encrypted, and no identity was given
	IndexDamaged = "damaged" // missing or not the one that was written
)

// VerifyReport says what Verify really read.
type VerifyReport struct {
	Parts         int    `json:"parts"`          // whose sum was right
	StoredBytes   int64  `json:"stored_bytes"`   // in them
	Frames        int64  `json:"frames"`         // decoded; 0 where they could not be
	PlainBytes    int64  `json:"plain_bytes"`    // in them
	FramesChecked bool   `json:"frames_checked"` // false: encrypted, and no identity was given
	Index         string `json:"index"`          // IndexOK and so on; a bad index is no error
}

// Verify reads the whole archive. With what it takes to decrypt (or if there is
// nothing to decrypt) every part's sum and every frame is checked, and the plain
// length; otherwise the sums of all parts and that the data begins as an age file
// does, and FramesChecked is false. progress, which may be nil, is told stored
// bytes. The first thing that is wrong is the error.
func (a *Archive) Verify(ctx context.Context, progress func(done, total int64)) (VerifyReport, error) {
	const op = "verify the archive"
	rep := VerifyReport{Index: a.indexState(ctx)}
	if err := a.Check(ctx); err != nil {
		return rep, coffer.Wrap(op, err)
	}
	total := a.m.DataBytes()
	checked := func(n int64) {
		rep.Parts++
		rep.StoredBytes += n
		if progress != nil {
			progress(rep.StoredBytes, total)
		}
	}
	var err error
	if a.mayDecrypt() == nil {
		err = a.verifyFrames(ctx, &rep, checked)
	} else {
		err = a.verifyParts(ctx, checked)
	}
	return rep, coffer.Wrap(op, err)
}

func (a *Archive) indexState(ctx context.Context) string {
	switch {
	case a.m.Index == nil:
		return IndexNone
	case a.mayDecrypt() != nil:
		return IndexUnread
	}
	if _, err := a.index(ctx); err != nil {
		return IndexDamaged
	}
	return IndexOK
}

// verifyFrames reads the plain stream to its proven end.
func (a *Archive) verifyFrames(ctx context.Context, rep *VerifyReport, checked func(int64)) error {
	s, err := a.stream(ctx, checked)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, s)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	rep.PlainBytes = n
	if err == nil {
		rep.Frames, rep.FramesChecked = a.m.Frames, true
	}
	return err
}

// verifyParts reads every part without decrypting.
func (a *Archive) verifyParts(ctx context.Context, checked func(int64)) error {
	r := a.newPartReader(ctx, checked)
	defer r.close()
	const magic = "age-encryption.org/v1\n"
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil {
		return endless(err)
	}
	if string(head) != magic {
		return a.name(coffer.E(coffer.KindCorrupt, "", "it is no age file"))
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

// endless makes an early end an error of ours.
func endless(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return coffer.E(coffer.KindCorrupt, "read the archive", "the data is cut")
	}
	return err
}
