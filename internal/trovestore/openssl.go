package trovestore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"io"

	"github.com/cofferdb/coffer"
)

const (
	saltMagic = "Salted__"
	saltLen   = 8
	keyLen    = 32 // AES-256
	blockLen  = aes.BlockSize
)

// kdf makes a key and an initialization vector of a passphrase and a salt.
type kdf struct {
	name string
	of   func(pass, salt []byte) []byte // keyLen + blockLen bytes
}

// kdfs are openssl enc's ways, of which Trove's eras have used these.
func kdfs() []kdf {
	return []kdf{
		{"md5", func(p, s []byte) []byte { return bytesToKey(md5.New, p, s) }},       // openssl before 1.1
		{"sha256", func(p, s []byte) []byte { return bytesToKey(sha256.New, p, s) }}, // from 1.1 on
		{"pbkdf2-sha512", func(p, s []byte) []byte { // -md sha512 -pbkdf2 -iter 10000
			out, err := pbkdf2.Key(sha512.New, string(p), s, 10000, keyLen+blockLen)
			if err != nil {
				return nil // a passphrase that this process may not use
			}
			return out
		}},
	}
}

// bytesToKey is openssl's own derivation, with one round.
func bytesToKey(h func() hash.Hash, pass, salt []byte) (out []byte) {
	var last []byte
	for len(out) < keyLen+blockLen {
		d := h()
		d.Write(last)
		d.Write(pass)
		d.Write(salt)
		last = d.Sum(nil)
		out = append(out, last...)
	}
	return out[:keyLen+blockLen]
}

// decrypt opens what openssl enc has written: the way is found by what the plain bytes
// must begin with.
func decrypt(r io.Reader, pass, begins []byte) (io.Reader, string, error) {
	const op = "decrypt Trove's backup"
	if len(pass) == 0 {
		return nil, "", coffer.E(coffer.KindForbidden, op, "it is encrypted and no passphrase was given").
			WithHint("put Trove's backup_aes_cbc_key into a file of mode 0600, and name it as trove_key_file of the store")
	}
	var head [len(saltMagic) + saltLen + blockLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, "", cutOr(op, err)
	}
	if string(head[:len(saltMagic)]) != saltMagic {
		return nil, "", coffer.E(coffer.KindCorrupt, op, "it does not begin as openssl's files do")
	}
	salt, first := head[len(saltMagic):len(saltMagic)+saltLen], head[len(saltMagic)+saltLen:]
	for _, k := range kdfs() {
		key := k.of(pass, salt)
		if len(key) != keyLen+blockLen {
			continue
		}
		block, err := aes.NewCipher(key[:keyLen])
		if err != nil {
			return nil, "", coffer.E(coffer.KindInternal, op, "%w", err)
		}
		var plain [blockLen]byte
		cipher.NewCBCDecrypter(block, key[keyLen:]).CryptBlocks(plain[:], first)
		if !bytes.HasPrefix(plain[:], begins) {
			continue
		}
		return &cbcReader{
			r: io.MultiReader(bytes.NewReader(first), r), mode: cipher.NewCBCDecrypter(block, key[keyLen:]),
			buf: make([]byte, 64<<10),
		}, k.name, nil
	}
	return nil, "", coffer.E(coffer.KindForbidden, op, "the passphrase does not open it, by any of the ways that Trove's eras had").
		WithHint("it is the value of backup_aes_cbc_key (once default_aes_cbc_key) in the trove.conf of that time, without a line feed")
}

func cutOr(op string, err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return coffer.E(coffer.KindCorrupt, op, "it ends too early")
	}
	return coffer.Wrap(op, err)
}

// cbcReader decrypts block by block and holds the last block back, of which a part is
// padding.
type cbcReader struct {
	r     io.Reader
	mode  cipher.BlockMode
	buf   []byte
	n     int    // cipher bytes in buf, from its start
	plain []byte // ready; lies in out
	out   []byte
	err   error
}

// Read gives plain bytes.
func (c *cbcReader) Read(p []byte) (int, error) {
	for len(c.plain) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.plain)
	c.plain = c.plain[n:]
	return n, nil
}

// fill decrypts all whole blocks that came but the last, and at the end that one too.
func (c *cbcReader) fill() {
	const op = "decrypt Trove's backup"
	n, err := io.ReadFull(c.r, c.buf[c.n:])
	c.n += n
	end := err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !end {
		c.err = err
		return
	}
	whole := c.n / blockLen * blockLen
	if end && (whole != c.n || whole == 0) {
		c.err = coffer.E(coffer.KindCorrupt, op, "it ends inside a block")
		return
	}
	if !end {
		whole -= blockLen
	}
	if c.out == nil {
		c.out = make([]byte, len(c.buf))
	}
	c.plain = c.out[:whole]
	c.mode.CryptBlocks(c.plain, c.buf[:whole])
	c.n = copy(c.buf, c.buf[whole:c.n])
	if end {
		c.unpad()
	}
}

// unpad removes the padding: n bytes of the value n.
func (c *cbcReader) unpad() {
	c.err = io.EOF
	pad := int(c.plain[len(c.plain)-1])
	if pad == 0 || pad > blockLen || !bytes.Equal(c.plain[len(c.plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		c.plain, c.err = nil, coffer.E(coffer.KindCorrupt, "decrypt Trove's backup", "its end is not that of an encrypted file")
		return
	}
	c.plain = c.plain[:len(c.plain)-pad]
}
