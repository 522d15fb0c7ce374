package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Secret is a value that is not printed.
type Secret struct{ value string }

// NewSecret keeps s.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal is the value itself.
func (s Secret) Reveal() string { return s.value }

// Zero reports whether there is none.
func (s Secret) Zero() bool { return s.value == "" }

// String hides the value.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return "***"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Size is a number of bytes: a number, or a text such as "256 MiB".
type Size int64

// ParseSize reads a number with an optional unit: B, KiB, MiB, GiB or TiB.
func ParseSize(s string) (Size, error) {
	n, unit := s, ""
	if i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		n, unit = s[:i], strings.TrimSpace(s[i:])
	}
	v, err := strconv.ParseInt(n, 10, 64)
	shift := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}
	by, known := shift[unit]
	if err != nil || !known || v > math.MaxInt64>>by {
		return 0, fmt.Errorf("%q is no size; it looks like 268435456 or \"256 MiB\"", s)
	}
	return Size(v << by), nil
}

// set puts a value of the file, or a text of the environment, into a field.
func set(field reflect.Value, v any) error {
	text, isText := v.(string)
	switch p := field.Addr().Interface().(type) {
	case *string:
		if !isText {
			return fmt.Errorf("it wants a text in quotes")
		}
		*p = text
	case *Secret:
		*p = Secret{text}
	case *time.Duration:
		return setDuration(p, text, isText)
	case *Size:
		return setSize(p, v)
	case *bool:
		return setBool(p, v)
	case *int:
		return setInt(p, v)
	case *[]string:
		return setList(p, v)
	default:
		return fmt.Errorf("it cannot be set")
	}
	return nil
}

func setDuration(p *time.Duration, text string, isText bool) error {
	d, err := time.ParseDuration(text)
	if !isText || err != nil || d < 0 {
		return fmt.Errorf("it wants a time such as \"10s\", \"5m\" or \"24h\"")
	}
	*p = d
	return nil
}

func setSize(p *Size, v any) (err error) {
	switch v := v.(type) {
	case int64:
		*p = Size(v)
	case string:
		*p, err = ParseSize(v)
	default:
		err = fmt.Errorf("it wants a size such as 268435456 or \"256 MiB\"")
	}
	return err
}

func setBool(p *bool, v any) (err error) {
	switch v := v.(type) {
	case bool:
		*p = v
		return nil
	case string: // of the environment
		if *p, err = strconv.ParseBool(v); err == nil {
			return nil
		}
	}
	return fmt.Errorf("it wants true or false, without quotes")
}

func setInt(p *int, v any) (err error) {
	switch v := v.(type) {
	case int64:
		if v == int64(int(v)) {
			*p = int(v)
			return nil
		}
	case string:
		if *p, err = strconv.Atoi(v); err == nil {
			return nil
		}
	}
	return fmt.Errorf("it wants a whole number, without quotes")
}

// setList takes an array of texts; one text is split at commas.
func setList(p *[]string, v any) error {
	bad := fmt.Errorf("it wants a list of texts such as [\"a\", \"b\"]")
	switch v := v.(type) {
	case string:
		*p = nil
		for s := range strings.SplitSeq(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				*p = append(*p, s)
			}
		}
		return nil
	case []any:
		*p = make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return bad
			}
			*p = append(*p, s)
		}
		return nil
	}
	return bad
}

// Text is a key's value as the environment or a file's text would give it.
func Text(v any) string {
	switch v := v.(type) {
	case Size:
		return strconv.FormatInt(int64(v), 10)
	case []string:
		return strings.Join(v, ",")
	}
	return fmt.Sprint(v)
}
