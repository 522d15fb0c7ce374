package config

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/cofferdb/coffer"
)

// owned reports whether the store's containers are the projects' own.
func (s Store) owned() bool { return s.Accounts == Projects }

// Login is one project's own login at Swift: the file in a store's credentials_dir
// that is named by the project's id. It is TOML.
type Login struct {
	AppCredential string `toml:"application_credential"`
	Trust         string `toml:"trust"`
	User          string `toml:"user"`
	UserDomain    string `toml:"user_domain"` // "": user is an id
	Project       string `toml:"project"`     // "" is the project's own id
	ProjectDomain string `toml:"project_domain"`
	Secret        string `toml:"secret"` // the credential's secret, or the password
}

// ReadLogin reads such a file, which nobody else may read.
func ReadLogin(path string) (l Login, err error) {
	const op = "read the project's credentials"
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return l, coffer.E(coffer.KindInvalid, op, "the project has none in %s", filepath.Dir(path)).
			WithHint("put its application credential there, in a file named by the project's id, mode 0600")
	}
	if why, hint := Private(path); why != "" {
		return l, coffer.E(coffer.KindInvalid, op, "%s", why).WithHint("%s", hint)
	}
	form := coffer.E(coffer.KindInvalid, op, "%s holds no login", path).
		WithHint(`it has the lines application_credential = "ID" and secret = "…"; or user, user_domain and secret, with trust where there is one`)
	text, err := os.ReadFile(path)
	if err != nil {
		return l, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	// The library's error may repeat a line, and so a secret.
	known, err := toml.Decode(string(text), &l)
	if err != nil || len(known.Undecoded()) > 0 || l.Secret == "" || (l.User == "") == (l.AppCredential == "") {
		return Login{}, form
	}
	return l, nil
}

// templateField is a field of a template.
var templateField = regexp.MustCompile(`\{[^{}]*\}`)

// Ids as long as they are where each project has its own account.
const (
	someProject  = coffer.ProjectID("0123456789abcdef0123456789abcdef")
	someInstance = coffer.InstanceID("01234567-89ab-4cde-8f01-23456789abcd")
)

// template judges a bucket's or container's template and gives a name that it makes;
// ok is false after a problem.
func (r *reader) template(key string, s Store, text string) (name string, ok bool) {
	for _, f := range templateField.FindAllString(text, -1) {
		switch {
		case f != "{project}" && f != "{instance}":
			r.problem(key, "there is no field "+quote(f), "the fields are {project} and {instance}")
			return "", false
		case !s.owned():
			r.problem(key, "the operator's own is one, and has no field "+quote(f), `set accounts = "project", or name one; below it each project has a folder of its own`)
			return "", false
		}
	}
	name = coffer.FillContainer(text, someProject, someInstance)
	if strings.ContainsAny(name, "{}") {
		r.problem(key, quote(text)+" has a brace that no other one closes", "the fields are {project} and {instance}")
		return "", false
	}
	return name, true
}

// defaultContainer judges what the API names a container where nobody does.
func (r *reader) defaultContainer() {
	for _, f := range templateField.FindAllString(r.c.API.Container, -1) {
		if f != "{project}" && f != "{instance}" {
			r.problem("api.default_container", "there is no field "+quote(f), "the fields are {project} and {instance}")
		}
	}
}

// bucket judges a bucket's name, or what its template makes.
func (r *reader) bucket(key string, s Store) {
	key += ".bucket"
	name, ok := r.template(key, s, s.Bucket)
	switch {
	case !ok || name == "": // told, or the adapter's own
	case strings.Contains(s.Bucket, "_"):
		r.problem(key, quote(s.Bucket)+" is no bucket's name: S3 knows no underscore", "write "+quote(strings.ReplaceAll(s.Bucket, "_", "-")))
	case len(name) > 63 && name != s.Bucket:
		r.problem(key, quote(s.Bucket)+" makes names of more than 63 letters", "a project's id has 32 and an instance's 36: use one of them")
	case !bucketName.MatchString(name) || strings.Contains(name, ".."):
		r.problem(key, quote(s.Bucket)+" is no bucket's name", "it has 3 to 63 small letters, digits and dashes")
	}
}

// credentialsDir is where the projects' own credentials are.
func (r *reader) credentialsDir(key string, s Store) {
	key += ".credentials_dir"
	switch fi, err := os.Stat(s.CredentialsDir); {
	case s.CredentialsDir == "":
		r.problem(key, "it is not said where the projects' credentials are", "name a folder with a file for each project, named by its id, mode 0600")
	case err != nil || !fi.IsDir():
		r.problem(key, "there is no folder "+s.CredentialsDir, "")
	}
}

// swiftAccounts is how the projects' own accounts are reached: by a login of each, or
// by a user who has a role in all of them.
func (r *reader) swiftAccounts(key string, s Store) {
	for _, f := range []struct{ name, value string }{
		{"project", s.Project}, {"trust", s.Trust}, {"application_credential", s.AppCredential}, {"storage_url", s.StorageURL},
	} {
		if f.value != "" {
			r.problem(key+"."+f.name, "each project has its own", "remove it, or accounts")
		}
	}
	if s.CredentialsDir != "" {
		r.credentialsDir(key, s)
		if has := cmp.Or(s.User, s.SecretFile); has != "" {
			r.problem(key+".credentials_dir", "a user or secret_file stands here, too", "remove them, or credentials_dir")
		}
		return
	}
	if s.AuthVersion == "1" {
		r.problem(key+".auth_version", "its users have one account each", "set credentials_dir, or use Keystone")
	}
	if s.User == "" {
		r.problem(key+".user", "nobody is named who has a role in each project", "set credentials_dir, or user and secret_file")
	} else if s.SecretFile == "" {
		r.problem(key+".secret_file", "there is no password to log in with", "put it into a file of mode 0600 and name that")
	} else {
		r.private(key+".secret_file", s.SecretFile)
	}
}
