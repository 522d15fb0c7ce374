package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/cofferdb/coffer"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// object is a decoded JSON object that remembers the order of its keys.
type object struct {
	keys []string
	vals map[string]any
}

// str is the text under key, or "".
func (o *object) str(key string) string {
	s, _ := o.vals[key].(string)
	return s
}

// obj is the object under key, or nil.
func (o *object) obj(key string) *object {
	v, _ := o.vals[key].(*object)
	return v
}

// has reports whether the key is there, whatever its value.
func (o *object) has(key string) bool {
	_, ok := o.vals[key]
	return ok
}

// number is the number under key, or 0.
func (o *object) number(key string) float64 {
	n, _ := o.vals[key].(json.Number)
	f, err := n.Float64()
	if err != nil {
		return 0
	}
	return f
}

// int is the whole number under key, or 0. A text of digits counts.
func (o *object) int(key string) int {
	n, ok := o.vals[key].(json.Number)
	if !ok {
		n = json.Number(o.str(key))
	}
	i, err := n.Int64()
	if err != nil {
		return 0
	}
	return int(i)
}

// readBody reads a bounded body. What no store of text can hold, a NUL or what is
// no UTF-8, is refused here for all requests.
func readBody(r *http.Request) ([]byte, error) {
	const op = "read the body"
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, errTooLarge()
		}
		return nil, coffer.E(coffer.KindInvalid, op, "the body ended early")
	}
	if len(b) > maxBody {
		return nil, errTooLarge()
	}
	if !utf8.Valid(b) {
		return nil, coffer.E(coffer.KindInvalid, "", "The request body is not UTF-8.")
	}
	return b, nil
}

func errTooLarge() error {
	return coffer.E(coffer.KindInvalid, "", "The request body is larger than %d bytes.", maxBody)
}

// troveBody reads a request's body the way Trove does: nothing without a media
// type, JSON only, the keys in order. A nil value is "no body".
func troveBody(r *http.Request) (any, error) {
	b, err := readBody(r)
	if err != nil {
		return nil, err
	}
	header := r.Header.Get("Content-Type")
	if len(b) == 0 || header == "" {
		return nil, nil
	}
	media, _, err := mime.ParseMediaType(header)
	if err != nil {
		media = strings.ToLower(strings.TrimSpace(strings.Split(header, ";")[0]))
	}
	switch media {
	case "application/json":
	case "application/xml":
		return nil, errServer()
	default:
		return nil, errMediaType(media)
	}
	return decode(b)
}

// maxDepth bounds how deep a body nests.
const maxDepth = 100

// decode reads one JSON value: nil, bool, json.Number, string, []any or *object.
func decode(b []byte) (any, error) {
	if !json.Valid(b) {
		return nil, errMalformed()
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	v, err := decodeValue(dec, maxDepth)
	if err != nil && !coffer.IsKind(err, coffer.KindInvalid) {
		return nil, errMalformed()
	}
	return v, err
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth == 0 {
		return nil, coffer.E(coffer.KindInvalid, "", "The request body nests too deep.")
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return decodeArray(dec, depth-1)
		}
		return decodeObject(dec, depth-1)
	case string:
		return t, noNUL(t)
	default:
		return t, nil
	}
}

func decodeArray(dec *json.Decoder, depth int) (any, error) {
	out := []any{}
	for dec.More() {
		v, err := decodeValue(dec, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := dec.Token()
	return out, err
}

func decodeObject(dec *json.Decoder, depth int) (any, error) {
	o := &object{vals: map[string]any{}}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		k, ok := t.(string)
		if !ok {
			return nil, errMalformed()
		}
		if err := noNUL(k); err != nil {
			return nil, err
		}
		v, err := decodeValue(dec, depth)
		if err != nil {
			return nil, err
		}
		if !o.has(k) {
			o.keys = append(o.keys, k)
		}
		o.vals[k] = v
	}
	_, err := dec.Token()
	return o, err
}

func noNUL(s string) error {
	if strings.ContainsRune(s, 0) {
		return coffer.E(coffer.KindInvalid, "", "The request body holds a NUL character.")
	}
	return nil
}

// ownBody reads the body of one of Coffer's own requests into v. Unknown keys are
// refused: they are misspellings.
func ownBody(r *http.Request, v any) error {
	b, err := readBody(r)
	if err != nil {
		return err
	}
	if _, err := decode(b); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return coffer.E(coffer.KindInvalid, "read the body", "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}
