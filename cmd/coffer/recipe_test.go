package main

import (
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// A recipe's place is where the store's own tool finds the object.
func TestShelf(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]struct{ tool, dir string }{
		"file:///srv/b/p/a%2Fb/x.zst":                  {"cat", "/srv/b/p/a%2Fb"},
		"https://s3:1/bucket/pre/p/a%2Fb/x.zst":        {"curl", "https://s3:1/bucket/pre/p/a%252Fb"},
		"https://bucket.s3/p/c/x.zst":                  {"curl", "https://bucket.s3/p/c"},
		"swift://k:5/proj/database_backups/p/c/x.zst":  {"swift", "database_backups/p/c"},
		"https://s/v1/AUTH_a/database_backups/p/c/x":   {"swift", "database_backups/p/c"},
		"http://rgw:1/swift/v1/AUTH_a/c/p/a%2Fb/x.zst": {"swift", "c/p/a%2Fb"},
	} {
		if got := shelfOf(location); !strings.HasPrefix(got.get, want.tool+" ") || got.dir != want.dir {
			t.Errorf("%s: %s in %s", location, got.get, got.dir)
		}
	}
}

// There is a recipe for what can be restored only, and it opens what is encrypted.
func TestNewRecipe(t *testing.T) {
	t.Parallel()
	good := rest.Backup{ID: "b", State: coffer.Completed, Method: "mariabackup", Location: "file:///s/p/c/b.xbstream.gz.age", Key: "k"}
	r, err := newRecipe([]rest.Backup{good})
	if err != nil || len(r.Commands) != 5 || !strings.Contains(r.Commands[3], "age -d") || !strings.Contains(r.Commands[3], "| gzip -dc |") || strings.Contains(r.Commands[4], "incremental") {
		t.Errorf("%q, %v", r, err)
	}
	for want, change := range map[coffer.Kind]func(*rest.Backup){
		coffer.KindConflict:    func(b *rest.Backup) { b.State = coffer.Failed },
		coffer.KindUnsupported: func(b *rest.Backup) { b.Method = "mysqldump" },
	} {
		bad := good
		change(&bad)
		if _, err := newRecipe([]rest.Backup{bad}); !coffer.IsKind(err, want) {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}

// Percona's tool must be told of every layer but the last that another follows.
func TestPrepareCommands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{
		1: "xtrabackup --prepare --target-dir=0",
		2: "xtrabackup --prepare --apply-log-only --target-dir=0; xtrabackup --prepare --target-dir=0 --incremental-dir=1",
		4: "xtrabackup --prepare --apply-log-only --target-dir=0; for n in $(seq 1 2); do xtrabackup --prepare --apply-log-only --target-dir=0 --incremental-dir=$n; done; " +
			"xtrabackup --prepare --target-dir=0 --incremental-dir=3",
	} {
		if got := prepareCommand("xtrabackup", n); got != want {
			t.Errorf("%d backups: %s", n, got)
		}
	}
	want := "mariadb-backup --prepare --target-dir=0; for n in $(seq 1 2); do mariadb-backup --prepare --target-dir=0 --incremental-dir=$n; done"
	if got := prepareCommand("mariadb-backup", 3); got != want {
		t.Errorf("of MariaDB's tool: %s", got)
	}
}
