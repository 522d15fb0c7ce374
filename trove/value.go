package trove

import (
	"strconv"
	"strings"
	"time"
)

// timeLayout is ISO 8601 in UTC, without zone and fraction.
const timeLayout = "2006-01-02T15:04:05"

// Time is an instant in Trove's way of writing: UTC, whole seconds, no zone.
type Time struct{ time.Time }

// MarshalJSON writes t; the zero time is null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.UTC().Format(timeLayout) + `"`), nil
}

// UnmarshalJSON reads Trove's form, also with a fraction or a trailing Z, and null.
func (t *Time) UnmarshalJSON(b []byte) error {
	s := strings.TrimSuffix(strings.Trim(string(b), `"`), "Z")
	if s == "null" || s == "" {
		t.Time = time.Time{}
		return nil
	}
	v, err := time.Parse(timeLayout, s)
	if err != nil {
		return err
	}
	t.Time = v
	return nil
}

// GiB is a size in GiB. It is written as a float: 1.0, not 1.
type GiB float64

// MarshalJSON writes the shortest decimal that has a point.
func (g GiB) MarshalJSON() ([]byte, error) {
	s := strconv.FormatFloat(float64(g), 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return []byte(s), nil
}

// Link leads to another resource.
type Link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

// NextLink leads to the next page. It differs from Link in the order of its keys.
type NextLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}
