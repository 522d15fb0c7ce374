package store

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// Body is bytes that can be sent again: size and sum are known before the first
// byte leaves, so a retry is always safe. It is a list of chunks, so that a part
// needs no single large allocation. The chunks must not change while it is used.
type Body struct {
	chunks [][]byte
	size   int64
	sum    string
	via    func(io.Reader) io.Reader // wraps each Reader; nil is plain
}

// Bytes makes a Body of one slice.
func Bytes(b []byte) Body { return Chunks([][]byte{b}) }

// Chunks makes a Body of slices in order.
func Chunks(chunks [][]byte) Body {
	h := sha256.New()
	var n int64
	for _, c := range chunks {
		h.Write(c)
		n += int64(len(c))
	}
	return Body{chunks: chunks, size: n, sum: hex.EncodeToString(h.Sum(nil))}
}

// Size is the length in bytes.
func (b Body) Size() int64 { return b.size }

// SHA256 is the sum in hex.
func (b Body) SHA256() string {
	if b.sum == "" { // the zero Body
		s := sha256.Sum256(nil)
		return hex.EncodeToString(s[:])
	}
	return b.sum
}

// MD5 is the sum that Swift and S3 check what they get with. It is computed at
// each call, past whatever paces the readers.
func (b Body) MD5() (sum [md5.Size]byte) {
	h := md5.New()
	for _, c := range b.chunks {
		h.Write(c)
	}
	h.Sum(sum[:0])
	return sum
}

// Reader reads the bytes from the start; each call gives a new one.
func (b Body) Reader() io.Reader {
	rs := make([]io.Reader, len(b.chunks))
	for i, c := range b.chunks {
		rs[i] = bytes.NewReader(c)
	}
	r := io.MultiReader(rs...)
	if b.via != nil {
		return b.via(r)
	}
	return r
}

// through is b whose readers are wrapped by via, around what wraps them already.
func (b Body) through(via func(io.Reader) io.Reader) Body {
	if inner := b.via; inner != nil {
		b.via = func(r io.Reader) io.Reader { return via(inner(r)) }
	} else {
		b.via = via
	}
	return b
}
