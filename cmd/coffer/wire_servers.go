package main

import (
	"cmp"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
	"github.com/cofferdb/coffer/internal/store/s3"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// hiccup is how long a store's server may be away without anybody noticing. Whoever
// can wait longer, an archive above all, waits on top of it.
var hiccup = retry.Policy{Min: 50 * time.Millisecond, Max: time.Second, For: 4 * time.Second}

// patient is a store behind HTTP as roles see it: paced, and over a hiccup. The
// pace is within the patience: what is sent again counts again.
func patient(c config.Store, s store.Full) store.Full {
	return failpointStore(store.Retry(store.Limit(s, int64(c.Rate)), hiccup))
}

// Unless a section says that accounts are the projects' own (wire_accounts.go), the
// credentials are the operator's, for all projects: a user's container is a component
// of the keys, never a bucket, so no Options name a project.

func s3Options(c config.Store) s3.Options {
	return s3.Options{
		Endpoint: c.Endpoint, Region: c.Region, HostStyle: c.HostStyle, CredentialsFile: c.CredentialsFile, Profile: c.Profile,
		Bucket: c.Bucket, Prefix: c.Prefix, Create: c.Create, Encryption: c.Encryption, Remote: remoteOptions(c),
	}
}

func swiftOptions(c config.Store) swift.Options {
	return swift.Options{
		Auth: swift.Auth{
			URL: c.AuthURL, V1: c.AuthVersion == "1", User: c.User, UserDomain: c.UserDomain, Project: c.Project,
			ProjectDomain: c.ProjectDomain, Trust: c.Trust, AppCredential: c.AppCredential, SecretFile: c.SecretFile,
			Region: c.Region, Interface: c.Interface, StorageURL: c.StorageURL,
		},
		Container: c.Container, Prefix: c.Prefix, Create: c.Create, Dynamic: c.Dynamic, Remote: remoteOptions(c),
	}
}

func remoteOptions(c config.Store) remote.Options {
	return remote.Options{CAFile: c.CAFile, Plaintext: c.Insecure, Patience: c.Patience}
}

// s3URL is what the addresses of a store's objects begin with.
func s3URL(c config.Store) string {
	bucket, at := cmp.Or(c.Bucket, s3.DefaultBucket), strings.TrimSuffix(c.Endpoint, "/")
	if u, err := url.Parse(at); err == nil && c.HostStyle {
		return u.Scheme + "://" + bucket + "." + u.Host + "/" + c.Prefix
	}
	return at + "/" + bucket + "/" + c.Prefix
}

// swiftURL is the same. Where the catalogue says the account's address, and not the
// configuration, it is told by whom it was asked.
func swiftURL(c config.Store) string {
	at := strings.TrimSuffix(c.StorageURL, "/")
	if at == "" {
		at = "swift://" + hostOf(c.AuthURL) + "/" + cmp.Or(c.Project, c.AppCredential, c.User)
	}
	return at + "/" + cmp.Or(c.Container, coffer.DefaultContainer) + "/" + c.Prefix
}

// hostOf is a URL's host and port.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

// storeOffer is what an agent that joins is told of a store: every key but the files
// of this machine. Secrets are its own ([ownSecrets]).
func storeOffer(c config.Store) map[string]string {
	out := map[string]string{}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		if v.Field(i).IsZero() || strings.HasSuffix(key, "_file") || strings.HasSuffix(key, "_dir") {
			continue
		}
		out[key] = config.Text(v.Field(i).Interface())
	}
	return out
}

// ownSecrets names, for the stores of an agent that were given no secret, the files
// in its state folder: keys/NAME.secret, and keys/NAME.crt for a server's authority and
// keys/NAME.trove for Trove's own key, if there are such files. Where accounts are the
// projects' own, keys/NAME.projects is the folder of their credentials.
func ownSecrets(all map[string]config.Store, home stateDir) {
	for name, c := range all {
		secret, dir := home.path("keys", name+".secret"), home.path("keys", name+".projects")
		if c.Accounts == config.Projects && c.CredentialsDir == "" && (c.Kind == config.S3 || exists(dir) || c.User == "") {
			c.CredentialsDir, c.User, c.UserDomain, secret = dir, "", "", ""
		}
		switch c.Kind {
		case config.S3:
			c.CredentialsFile = cmp.Or(c.CredentialsFile, secret)
		case config.Swift:
			c.SecretFile = cmp.Or(c.SecretFile, secret)
			if key := home.path("keys", name+".trove"); c.TroveKeyFile == "" && exists(key) {
				c.TroveKeyFile = key
			}
		default:
			continue
		}
		if ca := home.path("keys", name+".crt"); c.CAFile == "" && exists(ca) {
			c.CAFile = ca
		}
		all[name] = c
	}
}
