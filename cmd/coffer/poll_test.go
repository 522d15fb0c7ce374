package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
)

// poll waits for cond with a deadline.
func poll(cond func() bool, late func()) {
	for end := time.Now().Add(20 * time.Second); !cond(); {
		if time.Now().After(end) {
			late()
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestProgressText(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(60_000)
	for want, p := range map[string]coffer.Progress{
		"copy": {},
		"copy, 10.0 MiB of 1.0 GiB (0 %), 1.0 MiB/s, 30s":                      {Done: 10 << 20, Total: 1 << 30, Rate: 1 << 20, Started: 30_000},
		"copy, 512.0 MiB of 1.0 GiB (50 %), 1.0 MiB/s, about 8m32s left, 1m0s": {Done: 512 << 20, Total: 1 << 30, Rate: 1 << 20, Started: 0 + 1},
		"copy, 2.0 GiB, 1.0 MiB/s":                                             {Done: 2 << 30, Total: 1 << 30, Rate: 1 << 20},
	} {
		if diff := cmp.Diff(want, progressText("copy", p, now)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 40: "1.0 TiB", 1536 << 20: "1.5 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
