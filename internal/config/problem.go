package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
)

// Problem is one thing that is wrong, and what to do about it.
type Problem struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // 0 is not known, or not in the file
	Key  string `json:"key,omitempty"`  // "section.key", or a variable of the environment
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// String is the problem in one line, as compilers say it.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems are all that is wrong, as one error.
type Problems []Problem

// Error is every problem, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Err is nil for no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	hint := "see all at once with: coffer config check"
	if len(p) == 1 {
		hint = p[0].Hint
		p = Problems{{p[0].File, p[0].Line, p[0].Key, p[0].Text, ""}}
	}
	return coffer.E(coffer.KindInvalid, "read the configuration", "%w", p).WithHint("%s", hint)
}

// ProblemsOf are the problems in err's chain; any other error is one problem.
func ProblemsOf(err error) []Problem {
	var all Problems
	switch {
	case err == nil:
		return nil
	case errors.As(err, &all) && len(all) == 1:
		one := all[0]
		one.Hint = cmp.Or(one.Hint, coffer.HintOf(err))
		return []Problem{one}
	case errors.As(err, &all):
		return all
	}
	return []Problem{{Text: err.Error(), Hint: coffer.HintOf(err)}}
}

// sorted puts problems in the order of the file.
func sorted(all []Problem) []Problem {
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	return all
}

// nearest is the known word that was most likely meant; "" is none.
func nearest(word string, known []string) string {
	best, most := "", 1+len(word)/2
	for _, k := range known {
		if d := distance(word, k); d < most {
			best, most = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			step := before
			if a[i] != b[j] {
				step++
			}
			before = row[j+1]
			row[j+1] = min(step, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
