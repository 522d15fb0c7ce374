//go:build failpoints

package main

import (
	"os"
	"strings"
	"sync"
	"time"
)

// clock is the time of this machine, moved by what the file that COFFER_CLOCK_FILE
// names says ("-1h"), so that a test can let the clock of one process jump. As after
// a time has been in a row or a message, no monotonic reading is left in it.
func clock() time.Time {
	path := os.Getenv("COFFER_CLOCK_FILE")
	if path == "" {
		return time.Now()
	}
	jumped.Lock()
	defer jumped.Unlock()
	if time.Since(jumped.read) > 50*time.Millisecond {
		jumped.read = time.Now()
		b, err := os.ReadFile(path)
		if d, derr := time.ParseDuration(strings.TrimSpace(string(b))); err == nil && derr == nil {
			jumped.by = d
		}
	}
	return time.Now().Round(0).Add(jumped.by)
}

var jumped struct {
	sync.Mutex
	read time.Time
	by   time.Duration
}
