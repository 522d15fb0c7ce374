package trovelink

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/retry"
)

// A database is as large as its own files: what else lies on their filesystem does not
// make it too large for a store's objects.
func TestFolderBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "app"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app", "t.ibd"), bytes.Repeat([]byte("page"), 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	const used = 60 << 30
	if n := folderBytes(engine.Facts{DataDir: dir, DataBytes: used}); n < 256<<10 || n > 1<<20 {
		t.Errorf("a folder of 256 KiB has %d bytes", n)
	}
	if n := folderBytes(engine.Facts{DataDir: filepath.Join(dir, "gone"), DataBytes: used}); n != used {
		t.Errorf("a folder that cannot be read has %d bytes, want all that is used", n)
	}
}

// A full backup that the store's objects could not hold is refused before its first
// byte; an increment is not judged by the size of what it is an increment of.
func TestOnlyFullsAreForecast(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	g := &Guest{Engine: d.fake, Log: slog.New(slog.DiscardHandler)}
	in := container{
		http: d.shelf.Client(), account: d.shelf.URL + "/v1/AUTH_p", name: "c", token: "secret-token", patient: retry.Policy{Tries: 1},
	}
	const large = 60 << 30
	if _, err := g.store(t.Context(), in, BackupInfo{ID: backupID}, engine.Base{}, large); !coffer.IsKind(err, coffer.KindUnsupported) {
		t.Errorf("a full of 60 GiB: %v", err)
	}
	_, _, res := enginetest.Take(t, d.fake, engine.Base{}, engine.Options{})
	base := engine.Base{Backup: "b", Position: res.Position, Summary: res.Summary}
	if _, err := g.store(t.Context(), in, BackupInfo{ID: backupID}, base, large); err != nil {
		t.Errorf("an increment onto 60 GiB: %v", err)
	}
}
