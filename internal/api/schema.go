package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cofferdb/coffer"
)

// schema is the part of JSON Schema (draft 4) that Trove's requests need. Trove's
// clients show its complaints to people, so they read as there: the words of the
// Python library, the values as Python prints them, in the order of their paths.
type schema struct {
	kind           string // "object", "array", "string", "integer", "number", "boolean", "null"; "" is any
	required       []string
	props          []prop
	closed         bool // no other keys
	items          *schema
	maxItems       int // 0 is no limit
	minLen, maxLen int // of a string, in characters; 0 is no limit
	pattern        string
	match          *regexp.Regexp
	bounded        bool // a number between min and max
	min, max       int64
	oneOf          []*schema
}

type prop struct {
	name string
	of   *schema
}

// complaint is one rule that does not hold.
type complaint struct {
	path    []any // keys and indexes from the body's root
	rule    []any // where in the schema, for the order among alternatives
	text    string
	context []complaint // of oneOf: why no alternative fits
}

// validate checks a body. A complaint about the root itself has no path, which
// Trove cannot print: it answers 500, and so does this.
func (s *schema) validate(body any) error {
	found := s.check(nil, body)
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b complaint) int { return comparePaths(a.path, b.path) })
	var texts []string
	for _, c := range found {
		if len(c.path) == 0 {
			return errPuzzle()
		}
		texts = append(texts, printPath(c.path)+" "+c.text)
		slices.SortStableFunc(c.context, func(a, b complaint) int { return comparePaths(a.rule, b.rule) })
		for _, sub := range c.context {
			texts = append(texts, sub.text)
		}
	}
	return coffer.E(coffer.KindInvalid, "", "Validation error: %s", strings.Join(texts, "; "))
}

func (s *schema) check(path []any, v any) []complaint {
	if s.oneOf != nil {
		return s.checkOneOf(path, v)
	}
	if s.kind != "" && !isKind(s.kind, v) {
		return []complaint{{path: path, rule: []any{"type"}, text: fmt.Sprintf("%s is not of type '%s'", pyRepr(v), s.kind)}}
	}
	switch v := v.(type) {
	case *object:
		return s.checkObject(path, v)
	case []any:
		return s.checkArray(path, v)
	case string:
		return s.checkString(path, v)
	case json.Number:
		return s.checkNumber(path, v)
	}
	return nil
}

func (s *schema) checkObject(path []any, o *object) (found []complaint) {
	say := func(rule, format string, args ...any) {
		found = append(found, complaint{path: path, rule: []any{rule}, text: fmt.Sprintf(format, args...)})
	}
	if extra := s.extras(o); len(extra) > 0 {
		verb := "was"
		if len(extra) > 1 {
			verb = "were"
		}
		say("additionalProperties", "Additional properties are not allowed (%s %s unexpected)", strings.Join(extra, ", "), verb)
	}
	for _, name := range s.required {
		if !o.has(name) {
			say("required", "%s is a required property", pyRepr(name))
		}
	}
	for _, p := range s.props {
		if o.has(p.name) {
			found = append(found, p.of.check(append(slices.Clone(path), p.name), o.vals[p.name])...)
		}
	}
	return found
}

func (s *schema) extras(o *object) (names []string) {
	if !s.closed {
		return nil
	}
	for _, k := range o.keys {
		if !slices.ContainsFunc(s.props, func(p prop) bool { return p.name == k }) {
			names = append(names, pyRepr(k))
		}
	}
	return names
}

func (s *schema) checkArray(path []any, a []any) (found []complaint) {
	if s.maxItems > 0 && len(a) > s.maxItems {
		found = append(found, complaint{path: path, rule: []any{"maxItems"}, text: pyRepr(a) + " is too long"})
	}
	if s.items == nil {
		return found
	}
	for i, e := range a {
		found = append(found, s.items.check(append(slices.Clone(path), i), e)...)
	}
	return found
}

func (s *schema) checkString(path []any, v string) (found []complaint) {
	say := func(rule, text string) {
		found = append(found, complaint{path: path, rule: []any{rule}, text: pyRepr(v) + text})
	}
	n := utf8.RuneCountInString(v)
	if n < s.minLen {
		say("minLength", " is too short")
	}
	if s.maxLen > 0 && n > s.maxLen {
		say("maxLength", " is too long")
	}
	if s.match != nil && !s.match.MatchString(v) {
		say("pattern", " does not match "+pyRepr(s.pattern))
	}
	return found
}

func (s *schema) checkNumber(path []any, n json.Number) []complaint {
	if !s.bounded {
		return nil
	}
	f, err := n.Float64()
	switch {
	case err == nil && f < float64(s.min):
		return []complaint{{path: path, rule: []any{"minimum"}, text: fmt.Sprintf("%s is less than the minimum of %d", pyRepr(n), s.min)}}
	case err != nil || f > float64(s.max):
		return []complaint{{path: path, rule: []any{"maximum"}, text: fmt.Sprintf("%s is greater than the maximum of %d", pyRepr(n), s.max)}}
	}
	return nil
}

func (s *schema) checkOneOf(path []any, v any) []complaint {
	var why []complaint
	for i, alt := range s.oneOf {
		found := alt.check(nil, v)
		if len(found) == 0 {
			return nil
		}
		for _, c := range found {
			c.rule = append([]any{i}, c.rule...)
			why = append(why, c)
		}
	}
	return []complaint{{path: path, rule: []any{"oneOf"}, text: pyRepr(v) + " is not valid under any of the given schemas", context: why}}
}

// isKind reports whether v is of a JSON type. A boolean is no number, and 1.0 is
// no integer.
func isKind(kind string, v any) bool {
	switch v := v.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case *object:
		return kind == "object"
	case []any:
		return kind == "array"
	case json.Number:
		return kind == "number" || kind == "integer" && !strings.ContainsAny(v.String(), ".eE")
	}
	return false
}

// printPath is a path as Trove prints it: backup['restore_from']['size'].
func printPath(path []any) string {
	var b strings.Builder
	for i, p := range path {
		s, isKey := p.(string)
		switch {
		case i == 0:
			fmt.Fprint(&b, p)
		case isKey:
			b.WriteString("[" + pyRepr(s) + "]")
		default:
			fmt.Fprintf(&b, "[%v]", p)
		}
	}
	return b.String()
}

// comparePaths orders paths component by component, a shorter one first.
func comparePaths(a, b []any) int {
	return slices.CompareFunc(a, b, func(x, y any) int {
		xi, xIsInt := x.(int)
		yi, yIsInt := y.(int)
		if xIsInt && yIsInt {
			return xi - yi
		}
		return strings.Compare(fmt.Sprint(x), fmt.Sprint(y))
	})
}
