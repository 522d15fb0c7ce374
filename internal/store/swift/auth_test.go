package swift_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// TestLogins: each way to log in at the real Keystone reaches the same account.
func TestLogins(t *testing.T) {
	t.Parallel()
	f := servers.For(t)
	id, secret, err := f.keystone.AppCredential("alice", "farm-a", "agent")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := f.keystone.Trust("alice", "farm-a", "trove")
	if err != nil {
		t.Fatal(err)
	}
	token, err := f.keystone.Token("alice", "alicepass", "farm-a")
	if err != nil {
		t.Fatal(err)
	}
	pid, uid := f.keystone.Projects["farm-a"], f.keystone.Users["alice"]
	account := f.swift.KeystoneURL + "/AUTH_" + pid
	url, region := f.keystone.URL, "RegionOne"
	base := swift.Options{Container: "logins", Create: true}
	base.Auth = password(t, f, "alice", "farm-a", region)
	if _, err := open(t, base).Put(t.Context(), "x", store.Bytes([]byte("mine")), nil); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]swift.Auth{
		"ids":                    {URL: url, User: uid, Project: pid, SecretFile: secretFile(t, "alicepass"), Region: region},
		"application credential": {URL: url, AppCredential: id, SecretFile: secretFile(t, secret), Region: region, Interface: "internal"},
		"trust":                  {URL: url, User: "trove", UserDomain: "Default", Trust: trust, SecretFile: secretFile(t, "trovepass"), Region: region},
		"token":                  {URL: url, Token: token, TokenFor: time.Minute, Region: region},
		"token and address":      {Token: token, StorageURL: account},
		"address instead":        {URL: url, AppCredential: id, SecretFile: secretFile(t, secret), StorageURL: account + "/"},
	} {
		o := base
		o.Auth, o.Create = a, false
		if got, err := open(t, o).Stat(t.Context(), "x"); err != nil || got.Size != 4 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, c := range map[string]struct {
		auth swift.Auth
		want coffer.Kind
		hint string
	}{
		"wrong password": {swift.Auth{URL: url, User: uid, Project: pid, SecretFile: secretFile(t, "hidden-word"), Region: region}, coffer.KindUnauthorized, "secret"},
		"no such region": {swift.Auth{URL: url, User: uid, Project: pid, SecretFile: secretFile(t, "alicepass"), Region: "none"}, coffer.KindInvalid, "region"},
		"not a member":   {swift.Auth{URL: url, User: uid, Project: f.keystone.Projects["farm-b"], SecretFile: secretFile(t, "alicepass"), Region: region}, coffer.KindUnauthorized, "project"},
		"no role":        {swift.Auth{Token: token, StorageURL: f.swift.KeystoneURL + "/AUTH_" + f.keystone.Projects["farm-b"]}, coffer.KindForbidden, "role"},
		"ends too soon":  {swift.Auth{URL: url, Token: token, TokenFor: 2 * time.Hour, Region: region}, coffer.KindUnauthorized, "application credential"},
		"not a token":    {swift.Auth{Token: "none", StorageURL: account}, coffer.KindUnauthorized, "application credential"},
		"no file":        {swift.Auth{URL: url, User: uid, SecretFile: "/none"}, coffer.KindInvalid, ""},
		"nobody there":   {swift.Auth{URL: "http://127.0.0.1:1/v3", User: uid, SecretFile: secretFile(t, "x")}, coffer.KindUnavailable, "reached"},
		"version 1":      {swift.Auth{URL: f.swift.AuthURL, V1: true, User: "test:tester", SecretFile: secretFile(t, "hidden-word")}, coffer.KindUnauthorized, "credentials"},
	} {
		o := base
		o.Auth = c.auth
		_, err := open(t, o).Stat(t.Context(), "x")
		if !coffer.IsKind(err, c.want) || !strings.Contains(coffer.HintOf(err), c.hint) {
			t.Errorf("%s: %v (%s), hint %q", name, err, coffer.KindOf(err), coffer.HintOf(err))
		}
		if err != nil && (strings.Contains(err.Error(), "hidden-word") || strings.Contains(err.Error(), token)) {
			t.Errorf("%s: a secret is in %q", name, err)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	good := swift.Options{Auth: swift.Auth{URL: "https://keystone.example/v3", User: "u", SecretFile: "f"}}
	if err := openError(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*swift.Options){
		"slash in the container": func(o *swift.Options) { o.Container = "a/b" },
		"long substitute":        func(o *swift.Options) { o.Container, o.Project = strings.Repeat("c", 250), "project" },
		"bad prefix":             func(o *swift.Options) { o.Prefix = "../" },
		"open prefix":            func(o *swift.Options) { o.Prefix = "x" },
		"no address":             func(o *swift.Options) { o.Auth.URL = "" },
		"plain text":             func(o *swift.Options) { o.Auth.URL = "http://keystone.example/v3" },
		"plain text account":     func(o *swift.Options) { o.Auth.StorageURL = "http://swift.example/v1/AUTH_x" },
		"no secret":              func(o *swift.Options) { o.Auth.SecretFile = "" },
		"nobody":                 func(o *swift.Options) { o.Auth.User = "" },
	} {
		o := good
		change(&o)
		if err := openError(o); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func openError(o swift.Options) error {
	s, err := swift.New(o)
	if err == nil {
		return s.Close()
	}
	return err
}
