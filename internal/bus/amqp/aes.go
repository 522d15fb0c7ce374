package amqp

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/cofferdb/coffer"
)

// Keys finds the keys of Trove's RPC encryption. It hides what a message says from
// the broker; it proves nothing about its sender, for it has no MAC and its
// defaults are public. No key ("") means plain.
type Keys interface {
	// To is the key of a topic: the task managers', an instance's, and for an
	// agent that sends to the conductor its own instance's.
	To(ctx context.Context, topic string) (key string, err error)
	// Of is the key of an instance whose message names its id.
	Of(ctx context.Context, id string) (key string, err error)
}

// The names under which an agent's message says whose key it is under.
const (
	selfKey    = "csz-instance-id"
	contextAll = "context" // the whole context, encrypted
)

// sealed is one argument of an agent's message to the conductor, as JSON text.
type sealed struct {
	Entity string `json:"entity"`
	Self   string `json:"csz-instance-id"`
}

// cipherOf derives AES-256 from a key: the 32 hex digits of its MD5 are the bytes.
func cipherOf(key string) cipher.Block {
	sum := md5.Sum([]byte(key))
	c, err := aes.NewCipher([]byte(hex.EncodeToString(sum[:])))
	if err != nil {
		panic(err) // 32 bytes are always right
	}
	return c
}

// encrypt is base64(IV ‖ AES-256-CBC(plain, padded by 1 to 16 bytes)).
func encrypt(key string, plain []byte) string {
	var iv [aes.BlockSize]byte
	rand.Read(iv[:])
	return encryptWith(key, iv, plain)
}

func encryptWith(key string, iv [aes.BlockSize]byte, plain []byte) string {
	n := aes.BlockSize - len(plain)%aes.BlockSize
	out := append(append(iv[:], plain...), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(cipherOf(key), iv[:]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
	return base64.StdEncoding.EncodeToString(out)
}

func decrypt(key, text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < 2*aes.BlockSize || len(b)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("it is not encrypted")
	}
	iv, b := b[:aes.BlockSize], b[aes.BlockSize:]
	cipher.NewCBCDecrypter(cipherOf(key), iv).CryptBlocks(b, b)
	n := int(b[len(b)-1])
	if n < 1 || n > aes.BlockSize || !bytes.HasSuffix(b, bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, fmt.Errorf("it is under another key")
	}
	return b[:len(b)-n], nil
}

// seal encrypts a request in place, each argument by itself and the context as a
// whole, and gives the key under which its answer will come.
func (b *Bus) seal(ctx context.Context, topic string, r *request) (key string, err error) {
	if b.o.Keys == nil {
		return "", nil
	}
	if key, err = b.o.Keys.To(ctx, topic); err != nil || key == "" {
		return "", coffer.Wrap("find the key of "+topic, err)
	}
	var args map[string]json.RawMessage
	if err := json.Unmarshal(r.Args, &args); err != nil {
		return "", coffer.E(coffer.KindInternal, "encrypt "+r.Method, "%w", err)
	}
	for k, v := range args {
		text := encrypt(key, v)
		if b.o.SelfID != "" {
			text = string(mustJSON(sealed{Entity: text, Self: b.o.SelfID}))
		}
		args[k] = mustJSON(text)
	}
	r.Args = mustJSON(args)
	whole := mustJSON(r.Context)
	r.Context = map[string]json.RawMessage{contextAll: mustJSON(encrypt(key, whole))}
	if b.o.SelfID != "" {
		r.Context[selfKey] = mustJSON(b.o.SelfID)
	}
	return key, nil
}

// unseal decrypts a request that came for topic in place, and gives the key under
// which it must be answered. An agent's message names its instance; any other is
// under the topic's key. Where the topic has none, plain messages are taken.
func (b *Bus) unseal(ctx context.Context, topic string, r *request) (key string, err error) {
	if b.o.Keys == nil {
		return "", nil
	}
	own, err := b.o.Keys.To(ctx, topic)
	if err != nil {
		return "", coffer.Wrap("find the key of "+topic, err)
	}
	var self string
	if raw := r.Context[selfKey]; raw != nil && json.Unmarshal(raw, &self) == nil && own == "" {
		key, err = b.o.Keys.Of(ctx, self)
	} else {
		key, self = own, ""
	}
	if err != nil {
		return "", coffer.Wrap("find the key of an instance", err)
	}
	if key == "" {
		return "", nil
	}
	var text string
	if json.Unmarshal(r.Context[contextAll], &text) != nil {
		return "", coffer.E(coffer.KindForbidden, "decrypt "+r.Method, "it came in clear")
	}
	whole, err := decrypt(key, text)
	if err == nil {
		r.Context = nil
		err = json.Unmarshal(whole, &r.Context)
	}
	if err != nil {
		return "", coffer.E(coffer.KindForbidden, "decrypt "+r.Method, "its context: %w", err)
	}
	return key, openArgs(key, self, r)
}

// openArgs decrypts each argument. One that is not encrypted stays as it is; one
// that is said to be another instance's is refused.
func openArgs(key, self string, r *request) error {
	var args map[string]json.RawMessage
	if err := json.Unmarshal(r.Args, &args); err != nil {
		return coffer.E(coffer.KindInvalid, "decrypt "+r.Method, "its arguments are no object")
	}
	for k, v := range args {
		text, ok := text(v)
		if !ok {
			continue
		}
		var s sealed
		if self != "" && json.Unmarshal([]byte(text), &s) == nil && s.Entity != "" {
			if s.Self != self {
				return coffer.E(coffer.KindForbidden, "decrypt "+r.Method, "an argument names another instance")
			}
			text = s.Entity
		}
		args[k] = openValue(key, text, v)
	}
	r.Args = mustJSON(args)
	return nil
}

// openValue decrypts a JSON value; what does not decrypt to JSON is plain.
func openValue(key, text string, plain json.RawMessage) json.RawMessage {
	if b, err := decrypt(key, text); err == nil && json.Valid(b) {
		return b
	}
	return plain
}

// sealResult and openResult are the same for an answer's result.
func sealResult(key string, result json.RawMessage) json.RawMessage {
	if key == "" {
		return result
	}
	return mustJSON(encrypt(key, result))
}

func openResult(key string, result json.RawMessage) json.RawMessage {
	if text, ok := text(result); ok && key != "" {
		return openValue(key, text, result)
	}
	return result
}

// text is a JSON string's value.
func text(v json.RawMessage) (string, bool) {
	var s string
	if len(v) == 0 || v[0] != '"' || json.Unmarshal(v, &s) != nil {
		return "", false
	}
	return s, true
}

// mustJSON writes what can always be written: strings, and JSON that was read.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
