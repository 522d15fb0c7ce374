package file_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// In a folder that is a group's, everything is the group's, whatever the umask; the
// group is handed on.
func TestSharedWithAGroup(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	gid := os.Getgid()
	if os.Getuid() == 0 {
		gid = 4711
		if err := os.Chown(root, 0, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o770|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	s := open(t, root)
	put(t, s, "p/c/a", "a")
	u, parts := upload(t, s, "p/d/b", "b")
	if _, err := s.Complete(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	upload(t, s, "p/e/c", "c")
	for _, p := range tree(t, root) {
		fi, err := os.Lstat(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o660)
		if fi.IsDir() {
			want = fs.ModeDir | fs.ModeSetgid | 0o770
		}
		if got := int(fi.Sys().(*syscall.Stat_t).Gid); fi.Mode() != want || got != gid {
			t.Errorf("%s has the mode %v and group %d, want %v and %d", p, fi.Mode(), got, want, gid)
		}
	}
}
