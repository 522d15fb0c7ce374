package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
