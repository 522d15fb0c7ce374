package config

import (
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// storeName can stand in a file's name and in a variable's.
var storeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

func (r *reader) storesOf(alone bool) {
	r.defaultContainer()
	if alone && len(r.c.Stores) == 0 {
		r.problem("stores", "there is none", `write [stores.default], kind = "file", path = "/srv/backups"`)
	}
	for _, name := range sortedKeys(r.c.Stores) {
		s, key := r.c.Stores[name], "stores."+name
		if !storeName.MatchString(name) {
			r.problem(key, "it is no store's name", "it has letters, digits, dashes and underscores")
			continue
		}
		switch s.Kind {
		case File:
			r.fileStore(key, s)
		case S3:
			r.s3Store(key, s)
		case Swift:
			r.swiftStore(key, s)
		case "":
			r.problem(key+".kind", "it is not said what it is", `set kind = "file", "s3" or "swift"`)
			continue
		default:
			r.problem(key+".kind", "there is no store of kind "+quote(s.Kind), `it is "file", "s3" or "swift"`)
			continue
		}
		r.otherKinds(key, s)
	}
}

// otherKinds finds keys that a store of this kind does not read: who wrote one
// believes that it does something.
func (r *reader) otherKinds(key string, s Store) {
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if kinds := strings.Fields(tag.Get("for")); len(kinds) > 0 && !v.Field(i).IsZero() && !slices.Contains(kinds, s.Kind) {
			r.problem(key+"."+tag.Get("toml"), "a store of kind "+quote(s.Kind)+" has no such key", "remove it, or correct kind")
		}
	}
}

func (r *reader) fileStore(key string, s Store) {
	if !filepath.IsAbs(s.Path) {
		r.problem(key+".path", "it is no absolute path", "name the folder that every host reaches under this path")
	} else if fi, err := os.Stat(s.Path); err != nil || !fi.IsDir() {
		r.problem(key+".path", "there is no folder "+s.Path, "make it, or mount what holds it")
	}
}

// bucketName is what every S3 server takes. It has no "_", which Trove's own
// default container has.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (r *reader) s3Store(key string, s Store) {
	r.address(key+".endpoint", s.Endpoint, s.Insecure, "https://s3.example:443")
	if u, err := url.Parse(s.Endpoint); err == nil && strings.Trim(u.Path, "/") != "" {
		r.problem(key+".endpoint", "it has a path", "name the bucket in bucket")
	}
	r.bucket(key, s)
	if s.owned() {
		r.credentialsDir(key, s)
		if s.CredentialsFile != "" {
			r.problem(key+".credentials_file", "each project has its own", "remove it, or accounts")
		}
	} else if s.CredentialsFile == "" {
		r.problem(key+".credentials_file", "there are no keys to log in with", "name a file of mode 0600 with [default], aws_access_key_id = … and aws_secret_access_key = …")
	} else {
		r.private(key+".credentials_file", s.CredentialsFile)
	}
	r.server(key, s)
}

func (r *reader) swiftStore(key string, s Store) {
	r.address(key+".auth_url", s.AuthURL, s.Insecure, "https://keystone.example:5000/v3")
	if s.StorageURL != "" {
		r.address(key+".storage_url", s.StorageURL, s.Insecure, "https://swift.example/v1/AUTH_0123abcd")
	}
	if !slices.Contains([]string{"", "1", "3"}, s.AuthVersion) {
		r.problem(key+".auth_version", "there is no version "+quote(s.AuthVersion), `it is "3" for Keystone, or "1" for Swift's own login`)
	}
	if s.owned() {
		r.swiftAccounts(key, s)
	} else {
		r.swiftLogin(key, s)
	}
	if s.TroveKeyFile != "" {
		r.private(key+".trove_key_file", s.TroveKeyFile)
	}
	if name, ok := r.template(key+".container", s, s.Container); ok && (len(name) > 256 || strings.Contains(name, "/")) {
		r.problem(key+".container", quote(s.Container)+" is no container's name", "it has at most 256 bytes and no slash")
	}
	if !slices.Contains([]string{"", "public", "internal", "admin"}, s.Interface) {
		r.problem(key+".interface", "there is no interface "+quote(s.Interface), "it is public, internal or admin")
	}
	r.server(key, s)
}

// swiftLogin is who the operator is.
func (r *reader) swiftLogin(key string, s Store) {
	v1 := s.AuthVersion == "1"
	switch {
	case s.User != "" && s.AppCredential != "":
		r.problem(key+".application_credential", "a user stands here, too", "remove one of them")
	case s.User == "" && (v1 || s.AppCredential == ""):
		r.problem(key+".user", "nobody is named to log in as", "set application_credential, or user and project")
	case !v1 && s.User != "" && s.Project == "" && s.Trust == "":
		r.problem(key+".project", "it is not said in which project", "set project and project_domain, or trust")
	}
	if s.SecretFile == "" {
		r.problem(key+".secret_file", "there is no password to log in with", "put it into a file of mode 0600 and name that")
	} else {
		r.private(key+".secret_file", s.SecretFile)
	}
}

// server is what stores behind HTTP share.
func (r *reader) server(key string, s Store) {
	if !slices.Contains([]string{"", Operators, Projects}, s.Accounts) {
		r.problem(key+".accounts", "there are no accounts "+quote(s.Accounts), `it is "operator" or "project"`)
	}
	if s.CredentialsDir != "" && !s.owned() {
		r.problem(key+".credentials_dir", "the account is the operator's", `remove it, or set accounts = "project"`)
	}
	if s.CAFile != "" {
		r.exists(key+".ca_file", s.CAFile)
	}
	if p := s.Prefix; p != "" && (!strings.HasSuffix(p, "/") || slices.ContainsFunc(strings.Split(strings.TrimSuffix(p, "/"), "/"), func(c string) bool {
		return c == "" || c == "." || c == ".."
	})) {
		r.problem(key+".prefix", quote(p)+" is no prefix", `it looks like "coffer/"`)
	}
}

// address judges where a server is: plain HTTP does not leave this machine unless
// somebody means it.
func (r *reader) address(key, raw string, insecure bool, example string) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		r.problem(key, "it is not said where the server is", "it looks like "+quote(example))
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		r.problem(key, "it is no URL", "it looks like "+quote(example))
	case u.User != nil:
		r.problem(key, "a name or password does not stand here", "it has keys of its own")
	case u.Scheme == "http" && !IsLocal(u.Host) && !IsLocal(u.Hostname()) && !insecure:
		r.problem(key, "credentials and data would cross the network in plaintext", "use https, or set insecure = true")
	}
}
