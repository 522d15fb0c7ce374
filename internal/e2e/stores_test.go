package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/s3"
	"github.com/cofferdb/coffer/internal/store/swift"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/trove"
)

// farStore is a store behind HTTP: the keys of its section, and the same store
// opened by the test, which sees all that lies there.
type farStore struct {
	section string
	all     store.Full
	login   []string // for stock tools
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func radosgwS3(t *testing.T) farStore {
	t.Helper()
	testenv.Need(t, "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")
	r, err := testenv.StartRadosgw(testenv.RadosgwOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	u, err := r.User("coffer")
	if err != nil {
		t.Fatal(err)
	}
	keys := secretFile(t, "[default]\naws_access_key_id = "+u.Access+"\naws_secret_access_key = "+u.Secret)
	all, err := s3.New(s3.Options{Endpoint: r.URL, CredentialsFile: keys, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all.Close() })
	return farStore{fmt.Sprintf("kind = \"s3\"\nendpoint = %q\ncredentials_file = %q\ncreate = true\nprefix = \"deep/er/\"\n", r.URL, keys), all,
		[]string{"AWS_ACCESS_KEY_ID=" + u.Access, "AWS_SECRET_ACCESS_KEY=" + u.Secret}}
}

func ownSwift(t *testing.T) farStore {
	t.Helper()
	testenv.Need(t, "swift-proxy-server", "swift-object-server", "memcached")
	s, err := testenv.StartSwift(testenv.SwiftOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	secret := secretFile(t, "testing")
	all, err := swift.New(swift.Options{Auth: swift.Auth{URL: s.AuthURL, V1: true, User: "test:tester", SecretFile: secret}, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all.Close() })
	return farStore{fmt.Sprintf("kind = \"swift\"\nauth_url = %q\nauth_version = \"1\"\nuser = \"test:tester\"\nsecret_file = %q\ncreate = true\n", s.AuthURL, secret), all,
		[]string{"ST_AUTH=" + s.AuthURL, "ST_USER=test:tester", "ST_KEY=testing"}}
}

// names are all objects and open uploads.
func (f farStore) names(t *testing.T) (out []string) {
	t.Helper()
	for o, err := range f.all.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o.Name)
	}
	for u, err := range f.all.Stale(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, "upload of "+u.Name)
	}
	return out
}

// on lets the world's server keep its backups there.
func (w *world) on(f farStore) {
	w.t.Helper()
	path := filepath.Join(w.dir, "coffer.toml")
	text := fmt.Sprintf("[api]\ndefault_store = \"far\"\n[stores.near]\nkind = \"file\"\npath = %q\n[stores.far]\n%s", w.dir, f.section)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.startServer("", "--config", path)
	w.register()
}

// asks makes one backup as it was asked for, which must be good.
func (w *world) asks(c trove.BackupCreate) coffer.BackupID {
	w.t.Helper()
	c.Instance = string(w.instance)
	var b trove.Backup
	var err error
	w.begunAt(&b, func() { b, err = w.cl.CreateBackup(w.t.Context(), c, "") })
	if err != nil {
		w.t.Fatal(err)
	}
	if got := w.settled(coffer.BackupID(b.ID), time.Minute); got.State != coffer.Completed {
		w.t.Fatalf("the backup is %s: %+v", got.State, got.Error)
	}
	return coffer.BackupID(b.ID)
}

// forgets loses the records and makes them anew from the store.
func (w *world) forgets() {
	w.t.Helper()
	w.server.end(w.t, syscall.SIGTERM)
	files, err := filepath.Glob(filepath.Join(w.state, "records.db*"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("records: %q, %v", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			w.t.Fatal(err)
		}
	}
	path := filepath.Join(w.dir, "coffer.toml")
	var r struct{ Made, Failed int }
	if code := w.cli(&r, "catalogue", "rebuild", "--store", "far", "--config", path); code != 0 || r.Made != len(w.made) || r.Failed != 0 {
		w.t.Fatalf("rebuild: exit %d, %+v", code, r)
	}
	w.startServer("", "--config", path)
}

// TestStoresOfServers keeps a chain of a real database in S3 and in Swift: it
// verifies, restores, also after the records were lost, and deleted leaves nothing. A container's name, whatever is in
// it, stays below the project's own.
func TestStoresOfServers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) farStore{"radosgw-S3": radosgwS3, "Swift": ownSwift} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			w := newWorld(t, newDatabase(t, dataBytes, true))
			w.on(f)
			full := w.asks(trove.BackupCreate{Name: "full"})
			if _, err := w.cl.CreateBackup(t.Context(), trove.BackupCreate{Name: "out", Instance: string(w.instance), SwiftContainer: "../../other/x"}, ""); !coffer.IsKind(err, coffer.KindInvalid) {
				t.Errorf("a container outside the project: %v", err)
			}
			next := w.asks(trove.BackupCreate{Name: "next", ParentID: string(full), SwiftContainer: "other/database_backups"})
			for _, id := range []coffer.BackupID{full, next} {
				w.verified(id)
			}
			w.restored(next)
			w.cooks(next, f.login...)
			w.forgets()
			w.restored(next)
			project := string(w.show(full).Project)
			for _, name := range f.names(t) {
				rest := strings.TrimPrefix(name, "deep/er/")
				if strings.Count(rest, "/") != 2 && !strings.Contains(rest, "/keys/") || !strings.HasPrefix(rest, project+"/") {
					t.Errorf("%s is not the project's", name)
				}
			}
			if code := w.cli(nil, "backup", "delete", string(full), "--force"); code != 0 {
				t.Fatalf("delete: exit %d", code)
			}
			w.cli(nil, "sweep")
			left := slices.DeleteFunc(f.names(t), func(n string) bool { return strings.Contains(n, "/keys/") })
			if len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}
