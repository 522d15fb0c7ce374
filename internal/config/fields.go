package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// field is one key of a section.
type field struct {
	value  reflect.Value
	secret bool // of the environment only
}

// fieldsOf are the keys of a section, a pointer's target.
func fieldsOf(section reflect.Value) map[string]field {
	out := map[string]field{}
	for i := range section.NumField() {
		tag := section.Type().Field(i).Tag
		if name := tag.Get("secret"); name != "" {
			out[name] = field{section.Field(i), true}
		} else if name := tag.Get("toml"); name != "" && name != "-" {
			out[name] = field{section.Field(i), false}
		}
	}
	return out
}

// sectionOf is a section by its name in the file.
func sectionOf(c *Config, name string) (reflect.Value, bool) {
	f, ok := fieldsOf(reflect.ValueOf(c).Elem())[name]
	return f.value, ok
}

// sections are the names of all sections.
func sections() []string {
	var c Config
	return sortedKeys(fieldsOf(reflect.ValueOf(&c).Elem()))
}

// fileKeys are the keys that may stand in the file.
func fileKeys(fields map[string]field) []string {
	var out []string
	for _, k := range sortedKeys(fields) {
		if !fields[k].secret {
			out = append(out, k)
		}
	}
	return out
}

// whereIs is a key's full name, if exactly that key is in some section.
func whereIs(key string) string {
	c := Default()
	for _, name := range sections() {
		if name == "stores" {
			continue
		}
		section, _ := sectionOf(&c, name)
		if f, ok := fieldsOf(section)[key]; ok && !f.secret {
			return key + " in [" + name + "]"
		}
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// AllKeys are all keys that may stand in a file, as "section.key"; a store's as
// "stores.key".
func AllKeys() []string {
	var out []string
	c := Default()
	for _, name := range sections() {
		section, _ := sectionOf(&c, name)
		if name == "stores" {
			section = reflect.ValueOf(&Store{}).Elem()
		}
		for _, key := range fileKeys(fieldsOf(section)) {
			out = append(out, name+"."+key)
		}
	}
	return out
}

// StoreKey is a key of a store's section, and the kinds of stores that read it.
type StoreKey struct {
	Key   string
	Kinds []string
}

// StoreKeys are all of them, by name.
func StoreKeys() []StoreKey {
	section := reflect.TypeFor[Store]()
	all := map[string][]string{}
	for i := range section.NumField() {
		tag := section.Field(i).Tag
		kinds := strings.Fields(tag.Get("for"))
		if len(kinds) == 0 {
			kinds = []string{File, S3, Swift}
		}
		all[tag.Get("toml")] = kinds
	}
	out := make([]StoreKey, 0, len(all))
	for _, key := range sortedKeys(all) {
		out = append(out, StoreKey{key, all[key]})
	}
	return out
}
