package codec

import (
	"errors"
	"io"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
)

const (
	stepEncrypt = "encrypt"
	stepDecrypt = "decrypt"
)

// Encrypt makes an age file in dst for all recipients. Close writes its end and
// does not close dst. A file that must not look whole is never closed before dst
// refuses writes.
func Encrypt(dst io.Writer, recipients ...age.Recipient) (io.WriteCloser, error) {
	if len(recipients) == 0 {
		return nil, coffer.E(coffer.KindInvalid, stepEncrypt, "there is no recipient").
			WithHint("make keys first: coffer keys init")
	}
	w, err := age.Encrypt(dst, recipients...)
	if err != nil {
		return nil, coffer.Wrap(stepEncrypt, err)
	}
	return &encrypter{w}, nil
}

// encrypter puts age's errors, which are mostly dst's, into our words.
type encrypter struct{ w io.WriteCloser }

func (e *encrypter) Write(p []byte) (int, error) {
	n, err := e.w.Write(p)
	return n, coffer.Wrap(stepEncrypt, err)
}

func (e *encrypter) Close() error { return coffer.Wrap("end the encryption", e.w.Close()) }

// Decrypt reads an age file with the first of ids that fits; none is
// KindForbidden. The plain bytes come before the end of the file is
// authenticated: nothing may be concluded from them until io.EOF. A file that was
// changed, cut or lengthened is KindCorrupt; errors of src keep their kind.
func Decrypt(src io.Reader, ids ...age.Identity) (io.Reader, error) {
	if len(ids) == 0 {
		return nil, noIdentity()
	}
	r, err := age.Decrypt(markedReader{src}, ids...)
	if err != nil {
		return nil, explainAge(err)
	}
	return decrypter{r}, nil
}

type decrypter struct{ r io.Reader }

func (d decrypter) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	return n, explainAge(err)
}

// DecryptAt gives the plain bytes of an age file of size bytes in any order, and
// their number. The end is authenticated first, so a file that was cut or
// lengthened is KindCorrupt at once; a changed chunk is when it is read. ReadAt
// may be called from several goroutines.
func DecryptAt(src io.ReaderAt, size int64, ids ...age.Identity) (io.ReaderAt, int64, error) {
	if len(ids) == 0 {
		return nil, 0, noIdentity()
	}
	r, n, err := age.DecryptReaderAt(markedReaderAt{src}, size, ids...)
	if err != nil {
		return nil, 0, explainAge(err)
	}
	return decrypterAt{r}, n, nil
}

type decrypterAt struct{ r io.ReaderAt }

func (d decrypterAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, coffer.E(coffer.KindInvalid, stepDecrypt, "offset %d is before the start", off)
	}
	n, err := d.r.ReadAt(p, off)
	return n, explainAge(err)
}

// explainAge sorts age's errors: the source's own, no fitting identity, or bytes
// that are not what was written. io.EOF and nil stay.
func explainAge(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if cause := unmark(err); cause != nil {
		return coffer.Wrap("read the encrypted stream", cause)
	}
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return noIdentity()
	}
	return coffer.E(coffer.KindCorrupt, stepDecrypt, "%w", noEOF(err))
}

func noIdentity() *coffer.Error {
	return coffer.E(coffer.KindForbidden, stepDecrypt, "none of the identities opens it").
		WithHint("give the identity file whose public key it was made for; `coffer keys show` lists the recipients")
}

var (
	_ io.WriteCloser = (*encrypter)(nil)
	_ io.Reader      = decrypter{}
	_ io.ReaderAt    = decrypterAt{}
)
