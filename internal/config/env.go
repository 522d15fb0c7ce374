package config

import (
	"errors"
	"io/fs"
	"os"
	"reflect"
	"strings"
)

// prefix begins the name of every variable.
const prefix = "COFFER_"

// environment takes the variables that name a section and a key. Those that name
// a section and no key of it are problems, unless they are empty; all others are
// somebody else's.
func (r *reader) environment(env []string) {
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		section, key, full := strings.Cut(strings.ToLower(rest), "_")
		if !ours || !full {
			continue
		}
		at, known := sectionOf(r.c, section)
		switch {
		case !known:
		case section == "stores":
			r.storeVariable(name, key, value)
		default:
			r.variable(name, fieldsOf(at), key, value)
		}
	}
}

func (r *reader) variable(name string, fields map[string]field, key, value string) {
	f, known := fields[key]
	switch {
	case !known && value == "":
		return
	case !known:
		hint := "unset it"
		if n := nearest(key, sortedKeys(fields)); n != "" {
			hint = "did you mean " + strings.TrimSuffix(name, strings.ToUpper(key)) + strings.ToUpper(n) + "?"
		}
		r.problems = append(r.problems, Problem{Key: name, Text: "the environment names a key that there is not", Hint: hint})
		return
	}
	if err := set(f.value, value); err != nil {
		r.problems = append(r.problems, Problem{Key: name, Text: err.Error()})
	}
}

// storeVariable is COFFER_STORES_NAME_KEY; a store's name has no fixed end, so the
// key is the longest one that fits.
func (r *reader) storeVariable(name, rest, value string) {
	var s Store
	for _, key := range sortedKeys(fieldsOf(reflect.ValueOf(&s).Elem())) {
		store, ok := strings.CutSuffix(rest, "_"+key)
		if !ok || store == "" {
			continue
		}
		for have := range r.c.Stores {
			if strings.ReplaceAll(strings.ToLower(have), "-", "_") == store {
				store = have
			}
		}
		s = r.c.Stores[store]
		r.variable(name, fieldsOf(reflect.ValueOf(&s).Elem()), key, value)
		r.c.Stores[store] = s
		return
	}
	r.problems = append(r.problems, Problem{
		Key: name, Text: "the environment names no key of a store", Hint: "it looks like COFFER_STORES_DEFAULT_PATH",
	})
}

// SecretVariables are those names of env that hold a secret. A process that has
// loaded its configuration unsets them, so that its children do not inherit them.
func SecretVariables(env []string) (names []string) {
	c := Default()
	for _, line := range env {
		name, _, _ := strings.Cut(line, "=")
		section, key, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(name, prefix)), "_")
		at, known := sectionOf(&c, section)
		if strings.HasPrefix(name, prefix) && known && section != "stores" && fieldsOf(at)[key].secret {
			names = append(names, name)
		}
	}
	return names
}

// secrets reads the files that hold secrets. One that the environment gives wins.
func (r *reader) secrets() {
	for _, name := range sections() {
		if name == "stores" {
			continue
		}
		section, _ := sectionOf(r.c, name)
		fields := fieldsOf(section)
		for _, key := range sortedKeys(fields) {
			if !fields[key].secret {
				continue
			}
			into := fields[key].value.Addr().Interface().(*Secret)
			path := fields[key+"_file"].value.String()
			if path == "" || !into.Zero() {
				continue
			}
			text, why, hint := readSecret(path)
			if why != "" {
				r.problem(name+"."+key+"_file", why, hint)
				continue
			}
			*into = Secret{text}
		}
	}
}

// maxSecret bounds a secret, in bytes.
const maxSecret = 1 << 20

// readSecret reads a file that only its owner may read, without the newline at its
// end; why is the problem.
func readSecret(path string) (text, why, hint string) {
	why, hint = Private(path)
	if why != "" {
		return "", why, hint
	}
	b, err := os.ReadFile(path)
	text = strings.TrimRight(string(b), "\r\n")
	switch {
	case err != nil:
		return "", "it cannot be read: " + err.Error(), ""
	case text == "":
		return "", path + " is empty", "write the secret into it"
	case len(text) > maxSecret:
		return "", path + " is too long for a secret", ""
	}
	return text, "", ""
}

// Private says why a file that holds a secret is not fit for one, and what to do:
// it must be there, and be its owner's alone. An empty why is none.
func Private(path string) (why, hint string) {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no " + path, "make it with mode 0600"
	case errors.Is(err, fs.ErrPermission):
		return path + " cannot be read by this user", "it belongs to the user that the role runs as"
	case err != nil:
		return err.Error(), ""
	case !fi.Mode().IsRegular():
		return path + " is no file", ""
	case fi.Mode().Perm()&0o077 != 0:
		return path + " can be read by others", "chmod 600 " + path
	}
	return "", ""
}
