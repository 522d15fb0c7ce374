package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/enrol"
	"github.com/cofferdb/coffer/rest"
)

// An agent that joins is told how a store is reached, and no file of the control
// plane's machine; what it reads from that is the same store, with its own secret.
func TestStoreOffer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	given := map[string]config.Store{
		"f": {Kind: config.File, Path: "/srv/b", Rate: 5 << 20},
		"s": {Kind: config.S3, Endpoint: "https://s3:1", Bucket: "abc", HostStyle: true, Patience: 90 * time.Second, CredentialsFile: "/cp/secret", CAFile: "/cp/ca"},
		"w": {Kind: config.Swift, AuthURL: "https://k/v3", AppCredential: "id", SecretFile: "/cp/secret", Create: true},
	}
	offer := rest.Joined{Stores: map[string]map[string]string{}, Brokers: []string{"127.0.0.1:1"}, Password: "x"}
	for name, c := range given {
		offer.Stores[name] = storeOffer(c)
	}
	if err := enrol.Write(dir, offer); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(filepath.Join(dir, enrol.Config), nil)
	if err != nil {
		t.Fatal(err)
	}
	ownSecrets(got.Stores, stateDir(dir))
	s, w := given["s"], given["w"]
	s.CredentialsFile, s.CAFile, w.SecretFile = filepath.Join(dir, "keys", "s.secret"), "", filepath.Join(dir, "keys", "w.secret")
	given["s"], given["w"] = s, w
	if diff := cmp.Diff(given, got.Stores); diff != "" {
		t.Error(diff)
	}
}

// An object's address is what a person can look for.
func TestStoreURLs(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"https://s3:1/database-backups/x/": s3URL(config.Store{Endpoint: "https://s3:1/", Prefix: "x/"}),
		"https://abc.s3:1/":                s3URL(config.Store{Endpoint: "https://s3:1", Bucket: "abc", HostStyle: true}),
		"https://s/v1/AUTH_a/c/":           swiftURL(config.Store{StorageURL: "https://s/v1/AUTH_a/", Container: "c"}),
		"swift://k:5/p/database_backups/":  swiftURL(config.Store{AuthURL: "https://k:5/v3", User: "u", Project: "p"}),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// An agent has the projects' own credentials in a folder of its own, or of Swift the
// secret of a user who has a role in each.
func TestOwnProjects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	home := stateDir(dir)
	s3, swift := config.Store{Kind: config.S3, Accounts: config.Projects}, config.Store{Kind: config.Swift, Accounts: config.Projects, User: "u", UserDomain: "d"}
	if _, told := storeOffer(config.Store{Kind: config.S3, Accounts: config.Projects, CredentialsDir: "/cp/dir"})["credentials_dir"]; told {
		t.Error("an agent is told of a folder of the control plane's machine")
	}
	got := map[string]config.Store{"s": s3, "w": swift}
	ownSecrets(got, home)
	s3.CredentialsDir, s3.CredentialsFile = home.path("keys", "s.projects"), ""
	one := swift
	one.SecretFile = home.path("keys", "w.secret")
	if diff := cmp.Diff(map[string]config.Store{"s": s3, "w": one}, got); diff != "" {
		t.Error(diff)
	}
	if err := os.MkdirAll(home.path("keys", "w.projects"), 0o700); err != nil {
		t.Fatal(err)
	}
	got = map[string]config.Store{"w": swift}
	ownSecrets(got, home)
	swift.CredentialsDir, swift.User, swift.UserDomain = home.path("keys", "w.projects"), "", ""
	if diff := cmp.Diff(map[string]config.Store{"w": swift}, got); diff != "" {
		t.Error(diff)
	}
}

// A store of the projects' own accounts opens one with its file, and none without.
func TestOwnedStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"p1": "[default]\naws_access_key_id = a\naws_secret_access_key = b\n",
		"p2": "application_credential = \"id\"\nsecret = \"x\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "p3"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := openStores(config.Config{Stores: map[string]config.Store{
		"s": {Kind: config.S3, Accounts: config.Projects, CredentialsDir: dir, Endpoint: "http://127.0.0.1:1", Prefix: "x/", Bucket: "b-{project}"},
		"w": {Kind: config.Swift, Accounts: config.Projects, CredentialsDir: dir, AuthURL: "http://127.0.0.1:1/v3", Prefix: "x/"},
		"f": {Kind: config.File, Path: dir},
	}}, false)
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]string{
		"http://127.0.0.1:1/some-bucket/x/b.zst":   all.URL("s", "p1/some-bucket/b.zst"),
		"swift://127.0.0.1:1/p2/container/x/b.zst": all.URL("w", "p2/container/b.zst"),
		"file://" + dir + "/p1/container/b.zst":    all.URL("f", "p1/container/b.zst"),
		"":                                         all.URL("w", "p4/container/b.zst"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !all.Own("s") || !all.Own("w") || all.Own("f") || all.Own("none") {
		t.Error("it is not known whose containers there are")
	}
	if used, wanted, err := all.Choose(t.Context(), "f", "p1", "i", "asked"); used != "asked" || wanted != "asked" || err != nil {
		t.Errorf("the operator's: %s, %s, %v", used, wanted, err)
	}
	for _, c := range []struct {
		store   string
		project coffer.ProjectID
		asked   string
		hint    string
	}{
		{"s", "p4", "", "0600"}, {"w", "p4", "", "0600"}, // no file
		{"s", "p3", "", "chmod"}, {"w", "p3", "", "chmod"}, // a file for all
		{"s", "p1", "a_b", "underscore"}, {"w", "p2", "a/b", "slash"}, // no names
		{"s", "p2", "", "[default]"}, {"w", "p1", "", "application_credential"}, // the other kind's
	} {
		_, _, err := all.Choose(t.Context(), c.store, c.project, "i", c.asked)
		if !coffer.IsKind(err, coffer.KindInvalid) || !strings.Contains(coffer.HintOf(err), c.hint) {
			t.Errorf("%+v: %v, hint %q", c, err, coffer.HintOf(err))
		}
	}
}
