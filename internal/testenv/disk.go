package testenv

import (
	"os"
	"syscall"
	"testing"
)

// SmallDisk mounts a disk of its own on dir, which is made if absent; size is as
// tmpfs takes it ("1m"). Everybody may pass through it. It goes with the test.
// Where nothing can be mounted the test is skipped on a laptop and fails with
// CI=true: continuous integration needs root with CAP_SYS_ADMIN.
func SmallDisk(t testing.TB, dir, size string) {
	t.Helper()
	err := os.MkdirAll(dir, 0o711)
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0711,size="+size)
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("no small disk can be mounted here, and with CI=true it must be: %v", err)
	}
	if err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// ResizeDisk makes a small disk larger or smaller; what lies on it stays.
func ResizeDisk(t testing.TB, dir, size string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "mode=0711,size="+size); err != nil {
		t.Fatalf("resize %s: %v", dir, err)
	}
}

// ReadOnlyDisk makes a small disk one that nobody can write.
func ReadOnlyDisk(t testing.TB, dir string) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("make %s read-only: %v", dir, err)
	}
}
