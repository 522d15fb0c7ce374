package config

import (
	"errors"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/cofferdb/coffer"
)

// Load reads the file at path ("" is none) and then the variables of env
// ("COFFER_SECTION_KEY=value"; others are left alone), over the defaults. Its
// error holds every problem ([ProblemsOf]); what could be understood is in the
// Config also then, so that it can be checked further.
func Load(path string, env []string) (Config, error) {
	c := Default()
	c.File = path
	r := reader{c: &c}
	if path != "" {
		body, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return c, coffer.E(coffer.KindNotFound, "read the configuration", "there is no %s", path).
				WithHint("make one with: coffer config example > %s", path)
		case err != nil:
			return c, coffer.E(coffer.KindForbidden, "read the configuration", "%w", err)
		}
		r.file(string(body))
	}
	r.environment(env)
	r.secrets()
	return c, Problems(sorted(r.problems)).Err()
}

// reader collects the problems of one reading.
type reader struct {
	c        *Config
	problems []Problem
}

func (r *reader) problem(key, text, hint string) {
	r.problems = append(r.problems, Problem{File: r.c.File, Line: r.c.lines[key], Key: key, Text: text, Hint: hint})
}

func (r *reader) file(body string) {
	tree := map[string]any{}
	if _, err := toml.Decode(body, &tree); err != nil {
		p := Problem{File: r.c.File, Text: err.Error()}
		var bad toml.ParseError
		if errors.As(err, &bad) {
			p.Line, p.Text = bad.Position.Line, bad.Message
		}
		r.problems = append(r.problems, p)
		return
	}
	r.c.lines = lines(body)
	for _, name := range sortedKeys(tree) {
		section, known := sectionOf(r.c, name)
		table, isTable := tree[name].(map[string]any)
		switch {
		case !known || !isTable && name != "stores":
			r.unknownSection(name)
		case !isTable:
			r.problem(name, "it is a table", "write [stores.NAME] and its keys below")
		case name == "stores":
			r.stores(table)
		default:
			r.table(name, section, table)
		}
	}
}

func (r *reader) unknownSection(name string) {
	hint := "the sections are " + strings.Join(sections(), ", ")
	if n := nearest(name, sections()); n != "" {
		hint = "did you mean [" + n + "]?"
	} else if where := whereIs(name); where != "" {
		hint = "did you mean " + where + "?"
	}
	r.problem(name, "there is no such section or key", hint)
}

func (r *reader) table(name string, section reflect.Value, table map[string]any) {
	fields := fieldsOf(section)
	for _, key := range sortedKeys(table) {
		full := name + "." + key
		f, known := fields[key]
		switch {
		case !known:
			r.unknownKey(name, key, fields)
		case f.secret:
			r.problem(full, "a secret does not stand in this file", "put it into a file of mode 0600 and name that: "+key+"_file")
		default:
			if err := set(f.value, table[key]); err != nil {
				r.problem(full, err.Error(), "")
			}
		}
	}
}

func (r *reader) unknownKey(section, key string, fields map[string]field) {
	hint := "the keys are " + strings.Join(fileKeys(fields), ", ")
	if n := nearest(key, fileKeys(fields)); n != "" {
		hint = "did you mean " + n + "?"
	} else if where := whereIs(key); where != "" {
		hint = "did you mean " + where + "?"
	}
	r.problem(section+"."+key, "there is no such key", hint)
}

func (r *reader) stores(table map[string]any) {
	for _, name := range sortedKeys(table) {
		t, ok := table[name].(map[string]any)
		if !ok {
			r.problem("stores."+name, "it is a table", "write [stores.NAME] and its keys below")
			continue
		}
		s := r.c.Stores[name]
		r.table("stores."+name, reflect.ValueOf(&s).Elem(), t)
		r.c.Stores[name] = s
	}
}

var (
	headLine = regexp.MustCompile(`^\s*\[\s*([A-Za-z0-9_."-]+)\s*\]`)
	keyLine  = regexp.MustCompile(`^\s*([A-Za-z0-9_"-]+)\s*=`)
)

// lines finds the line of each section and key.
func lines(body string) map[string]int {
	out := map[string]int{}
	section := ""
	for i, l := range slices.Collect(strings.Lines(body)) {
		key := ""
		if m := headLine.FindStringSubmatch(l); m != nil {
			section = strings.ReplaceAll(m[1], `"`, "")
			key = section
		} else if m := keyLine.FindStringSubmatch(l); m != nil {
			key = strings.TrimPrefix(section+"."+strings.Trim(m[1], `"`), ".")
		}
		if _, seen := out[key]; key != "" && !seen {
			out[key] = i + 1
		}
	}
	return out
}
