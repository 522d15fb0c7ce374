package trovelink

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer/internal/engine"
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
