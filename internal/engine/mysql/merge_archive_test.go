package mysql

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/store/storetest"
	vaulted "github.com/cofferdb/coffer/internal/stored"
)

// metered counts what is read of a store.
type metered struct {
	*storetest.Memory
	n atomic.Int64
}

func (c *metered) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := c.Memory.Open(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	return meteredBody{r, &c.n}, nil
}

type meteredBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c meteredBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// vault keeps a chain as encrypted archives.
type vault struct {
	t     *testing.T
	place archive.Place
	store *metered
	key   *age.X25519Identity
	ids   []coffer.BackupID
	sums  []string
	bytes int64 // of all data objects
}

func newVault(t *testing.T) *vault {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{t: t, store: &metered{Memory: storetest.NewMemory()}, key: key}
	v.place = archive.Place{Store: v.store, Prefix: "p/c/"}
	return v
}

// keep writes one layer as the agent would.
func (v *vault) keep(l indexed) {
	v.t.Helper()
	must := func(err error) {
		if err != nil {
			v.t.Helper()
			v.t.Fatal(err)
		}
	}
	id := coffer.BackupID(coffer.NewUUID())
	w, err := archive.Create(v.t.Context(), v.place, archive.Intent{
		Installation: coffer.InstallationID(coffer.NewUUID()), Backup: id, Project: "p",
		Instance: coffer.InstanceID(coffer.NewUUID()), Runner: coffer.Runner(coffer.NewUUID() + "/boot"),
	}, archive.Options{Workers: 2, Recipient: v.key.Recipient(), Stream: "xbstream", SpoolDir: v.t.TempDir()})
	must(err)
	_, err = w.Write(l.stream)
	must(err)
	for _, e := range l.entries {
		must(w.Index(e))
	}
	m := archive.Manifest{
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11"}, Tool: "tool", Method: "mariabackup", Position: l.position,
		Key: coffer.KeyID(coffer.NewUUID()), Depth: len(v.ids), Root: id,
	}
	if n := len(v.ids); n > 0 {
		m.Root, m.Parent = v.ids[0], &archive.Parent{ID: v.ids[n-1], ManifestSHA256: v.sums[n-1]}
	}
	s, err := w.Finish(v.t.Context(), m)
	must(err)
	out, err := w.Commit(v.t.Context())
	must(err)
	if out != archive.Done {
		v.t.Fatal(out)
	}
	v.ids, v.sums, v.bytes = append(v.ids, id), append(v.sums, s.SHA256), v.bytes+s.Manifest.DataBytes()
}

// open gives the chain as a restore reads it.
func (v *vault) open() []engine.Layer {
	v.t.Helper()
	var out []engine.Layer
	for i, id := range v.ids {
		a, err := archive.Open(v.t.Context(), v.place, id, archive.Want{
			ManifestSHA256: v.sums[i], Identities: []age.Identity{v.key}, Workers: 2, SpoolDir: v.t.TempDir(),
		})
		if err != nil {
			v.t.Fatal(err)
		}
		v.t.Cleanup(func() { _ = a.Close() })
		out = append(out, vaulted.Layer{Archive: a})
	}
	return out
}

// TestRealMergeOfArchives: a chain of encrypted archives is restored merged, by ranges,
// of which fewer bytes are read than it has; with an index that is gone or damaged it
// still is, by reading that one archive once.
func TestRealMergeOfArchives(t *testing.T) {
	t.Parallel()
	s := newChainSource(t)
	const rows = "SELECT seq, SHA2(RAND(seq), 512), SHA2(RAND(seq+1), 512), SHA2(RAND(seq+2), 512) FROM seq_1_to_30000"
	s.exec("CREATE TABLE t(id INT PRIMARY KEY, a CHAR(128), b CHAR(128), c CHAR(128))", "INSERT INTO t "+rows,
		"CREATE TABLE ar(id INT) ENGINE=Aria", "INSERT INTO ar VALUES(1)")
	s.mustBackup()
	s.exec("UPDATE t SET a = SHA2(RAND(id+3), 512)")
	s.mustBackup()
	s.exec("UPDATE t SET b = SHA2(RAND(id+4), 512)", "INSERT INTO ar VALUES(2)", "CREATE TABLE n(id INT PRIMARY KEY)", "INSERT INTO n VALUES(7)")
	s.mustBackup()
	v := newVault(t)
	for _, l := range s.layers {
		v.keep(l.(indexed))
	}
	want := checksums(t, s.db)
	if d := cmp.Diff(want, s.by("", v.open())); d != "" {
		t.Error(d)
	}
	read := v.store.n.Load()
	t.Logf("%d bytes read of %d", read, v.bytes)
	if read > v.bytes*85/100 {
		t.Errorf("%d bytes were read of %d", read, v.bytes)
	}
	for n, spoil := range map[int]func(name string) error{
		1: func(name string) error { return v.store.Delete(t.Context(), name) },
		2: func(name string) error {
			if !v.store.Spoil(name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) {
				return fmt.Errorf("no object %s", name)
			}
			return nil
		},
	} {
		if err := spoil(v.place.Prefix + archive.IndexName(v.ids[n], true)); err != nil {
			t.Fatal(err)
		}
	}
	tool, err := lookTool("", "mariadb-backup")
	if err != nil {
		t.Fatal(err)
	}
	target := emptyTarget(t)
	var said []string
	target.Event = func(e coffer.Event) { said = append(said, e.Code+" "+e.Facts["method"]) }
	if err := restore(t.Context(), restoreEnv{Backup: tool}, target, v.open()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, checksums(t, start(t, target.Dir))); d != "" {
		t.Errorf("without two of the indexes: %s", d)
	}
	if got := strings.Join(said, ", "); got != "restore.reindexed , restore.reindexed , restore.way merged" {
		t.Errorf("it was told: %s", got)
	}
}
