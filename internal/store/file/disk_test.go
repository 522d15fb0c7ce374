package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/testenv"
)

// tree lists all below root, the hidden too.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && p != root {
			out = append(out, strings.TrimPrefix(p, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantKind(t *testing.T, what string, err error, kind coffer.Kind) {
	t.Helper()
	if coffer.KindOf(err) != kind {
		t.Errorf("%s: got %v (%s), want %s", what, err, coffer.KindOf(err), kind)
	}
}

func put(t *testing.T, s store.Store, name, content string) {
	t.Helper()
	if _, err := s.Put(t.Context(), name, store.Bytes([]byte(content)), nil); err != nil {
		t.Fatal(err)
	}
}

// upload begins an upload and sends its one part.
func upload(t *testing.T, s store.Full, name, content string) (store.Upload, []store.Part) {
	t.Helper()
	u, err := s.Begin(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Part(t.Context(), u, 0, 0, store.Bytes([]byte(content)))
	if err != nil {
		t.Fatal(err)
	}
	return u, []store.Part{p}
}

func TestNew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := file.New(filepath.Join(dir, "no"), file.Options{})
	wantKind(t, "an absent folder", err, coffer.KindNotFound)
	if coffer.HintOf(err) == "" {
		t.Error("no hint")
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.New(filepath.Join(dir, "file"), file.Options{Create: true}); err == nil {
		t.Error("a file is no store")
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, root)
	put(t, s, "p/c/a", "a")
	u, parts := upload(t, s, "p/d/b", "b")
	if _, err := s.Complete(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	gone, _ := upload(t, s, "p/e/c", "c")
	if err := s.Abort(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Put(ctx, "p/f", store.Bytes([]byte("f")), nil)
	wantKind(t, "a canceled Put", err, coffer.KindCanceled)
	if got, want := fmt.Sprint(tree(t, root)), "[.coffer-tmp p p/c p/c/a p/d p/d/b]"; got != want {
		t.Errorf("there is %s, want %s", got, want)
	}
	for _, p := range tree(t, root) {
		fi, err := os.Lstat(filepath.Join(root, p))
		want := fs.FileMode(0o600)
		if err == nil && fi.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if err != nil || fi.Mode() != want {
			t.Errorf("%s has the mode %v, want %v", p, fi.Mode(), want)
		}
	}
	for _, name := range []string{"p/c/a", "p/d/b"} {
		if err := s.Delete(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if got := fmt.Sprint(tree(t, root)); got != "[.coffer-tmp]" {
		t.Errorf("after the deletes there is %s", got)
	}
}

func TestReservedAndImpossibleNames(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, root)
	put(t, s, "p/c/a", "a")
	if err := os.MkdirAll(filepath.Join(root, ".coffer"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, ".coffer", "records.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".coffer-tmp/x", ".coffer/records.db", ".coffer", strings.Repeat("x", 256), "p/c", "p/c/a/b"} {
		_, err := s.Put(t.Context(), name, store.Bytes(nil), nil)
		wantKind(t, "Put "+name, err, coffer.KindInvalid)
	}
	for _, name := range []string{".coffer/records.db", ".coffer-tmp/x"} {
		_, err := s.Stat(t.Context(), name)
		wantKind(t, "Stat "+name, err, coffer.KindInvalid)
		wantKind(t, "Delete "+name, s.Delete(t.Context(), name), coffer.KindInvalid)
	}
	for _, prefix := range []string{"", ".coffer", ".coffer/", ".coffer/r"} {
		for o, err := range s.List(t.Context(), prefix) {
			if err != nil || o.Name != "p/c/a" {
				t.Errorf("List %q shows %q, %v", prefix, o.Name, err)
			}
		}
	}
}

func TestLinksLeadNowhere(t *testing.T) {
	t.Parallel()
	root, outside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, root)
	for name, target := range map[string]string{"out": outside, "s": secret} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Open(t.Context(), "s", 0, -1); err == nil {
		t.Error("a link to a file outside was read")
	}
	if _, err := s.Open(t.Context(), "out/secret", 0, -1); err == nil {
		t.Error("a link to a folder outside was followed")
	}
	if _, err := s.Put(t.Context(), "out/new", store.Bytes(nil), nil); err == nil {
		t.Error("written outside")
	}
	if err := s.Delete(t.Context(), "out/secret"); err == nil {
		t.Error("a delete outside is no success")
	}
	for o, err := range s.List(t.Context(), "") {
		t.Errorf("List shows %q, %v", o.Name, err)
	}
	if got := tree(t, outside); len(got) != 1 {
		t.Errorf("outside there is %v", got)
	}
}

// TestDeadComplete is a Complete that died between publishing and forgetting.
func TestDeadComplete(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, root)
	u, parts := upload(t, s, "a", "whole")
	if err := os.Link(filepath.Join(root, file.Hidden, u.Token+".upload"), filepath.Join(root, "a")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Part(t.Context(), u, 0, 0, store.Bytes([]byte("WHOLE")))
	wantKind(t, "a late part", err, coffer.KindExists)
	_, err = s.Complete(t.Context(), u, parts)
	wantKind(t, "Complete again", err, coffer.KindExists)
	n := 0
	for u, err := range s.Stale(t.Context(), "") {
		if n++; err != nil || s.Abort(t.Context(), u) != nil {
			t.Error(err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(root, "a"))
	if n != 1 || err != nil || string(raw) != "whole" {
		t.Errorf("%d stale, then the object holds %q, %v", n, raw, err)
	}
	if got := fmt.Sprint(tree(t, root)); got != "[.coffer-tmp a]" {
		t.Errorf("there is %s", got)
	}
}

// TestCompleteWaitsForParts: a writer that is in the middle of a part keeps the
// object from being published, and can never reach it afterwards.
func TestCompleteWaitsForParts(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, root)
	u, parts := upload(t, s, "a", "whole")
	writer, err := os.OpenFile(filepath.Join(root, file.Hidden, u.Token+".upload"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := unix.Flock(int(writer.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = s.Complete(ctx, u, parts)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Complete during a part: %v", err)
	}
	if _, err := s.Stat(t.Context(), "a"); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("published during a part: %v", err)
	}
	done := make(chan error, 1)
	go func() { _, err := s.Complete(t.Context(), u, parts); done <- err }()
	if err := unix.Flock(int(writer.Fd()), unix.LOCK_UN); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Complete after the part: %v", err)
	}
}

// TestSweepOfDeadWriters: what a dead Put left goes after a day, once; what
// belongs to an upload stays however old.
func TestSweepOfDeadWriters(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, root)
	u, parts := upload(t, s, "up", "up")
	hidden := func(name string) string { return filepath.Join(root, file.Hidden, name) }
	for _, name := range []string{"put-old", "put-new", strings.Repeat("0", 32) + ".upload", "stranger"} {
		if err := os.WriteFile(hidden(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-25 * time.Hour)
	for _, name := range []string{"put-old", strings.Repeat("0", 32) + ".upload", "stranger", u.Token + ".upload", u.Token + ".json"} {
		if err := os.Chtimes(hidden(name), past, past); err != nil {
			t.Fatal(err)
		}
	}
	next := open(t, root)
	put(t, next, "a", "a")
	want := []string{"put-new", "stranger", u.Token + ".json", u.Token + ".upload"}
	left, err := os.ReadDir(filepath.Join(root, file.Hidden))
	if err != nil || len(left) != len(want) {
		t.Errorf("left: %v, %v; want %v", left, err, want)
	}
	for _, name := range want {
		if _, err := os.Lstat(hidden(name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := next.Complete(t.Context(), u, parts); err != nil {
		t.Error(err)
	}
}

// TestFoldersComeAndGo: deletes that empty a folder and writes into it, at once.
func TestFoldersComeAndGo(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, root)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			name := fmt.Sprintf("p/c/%d", i)
			for range 25 {
				if _, err := s.Put(t.Context(), name, store.Bytes([]byte(name)), nil); err != nil {
					t.Errorf("Put: %v", err)
				}
				if err := s.Delete(t.Context(), name); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := fmt.Sprint(tree(t, root)); got != "[.coffer-tmp]" {
		t.Errorf("there is %s", got)
	}
}

// TestFullAndReadOnly runs on a disk of its own.
func TestFullAndReadOnly(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	testenv.SmallDisk(t, root, "1m")
	s := open(t, root)
	put(t, s, "a", "a")
	big := store.Bytes(bytes.Repeat([]byte("x"), 2<<20))
	_, err := s.Put(t.Context(), "p/big", big, nil)
	wantKind(t, "Put on a full disk", err, coffer.KindNoSpace)
	u, _ := upload(t, s, "p/big", "x")
	_, err = s.Part(t.Context(), u, 1, 1, big)
	wantKind(t, "Part on a full disk", err, coffer.KindNoSpace)
	if coffer.HintOf(err) == "" {
		t.Error("no hint")
	}
	if err := s.Abort(t.Context(), u); err != nil {
		t.Errorf("Abort on a full disk: %v", err)
	}
	if got := fmt.Sprint(tree(t, root)); got != "[.coffer-tmp a]" {
		t.Errorf("a full disk leaves %s", got)
	}
	put(t, s, "b", "there is room again")
	testenv.ReadOnlyDisk(t, root)
	_, err = s.Put(t.Context(), "c", store.Bytes(nil), nil)
	wantKind(t, "Put on a read-only disk", err, coffer.KindForbidden)
	if coffer.HintOf(err) == "" {
		t.Error("no hint")
	}
	wantKind(t, "Delete on a read-only disk", s.Delete(t.Context(), "a"), coffer.KindForbidden)
	if _, err := s.Stat(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}
