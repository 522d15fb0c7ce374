package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// scratch is this run's folder. A server's own user must get into it.
var scratch = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("/tmp", "cfb")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		panic(err)
	}
	return dir
})

// TestMain is also the child that carries out one backup into a store that
// stalls, the one that stores a stream, the stream's source, the one that restores, and
// the one that is a role of the control plane, so that what they use can be seen.
func TestMain(m *testing.M) {
	if spec := os.Getenv(stationEnv); spec != "" {
		os.Exit(beStation(spec))
	}
	if spec := os.Getenv(shipEnv); spec != "" {
		os.Exit(ship(spec))
	}
	if spec := os.Getenv(noiseEnv); spec != "" {
		os.Exit(noise(spec))
	}
	if spec := os.Getenv(fetchEnv); spec != "" {
		os.Exit(fetch(spec))
	}
	if spec := os.Getenv(childEnv); spec != "" {
		os.Exit(child(spec))
	}
	code := m.Run()
	os.RemoveAll(scratch())
	os.Exit(code)
}

// folder is a fresh one below TMPDIR, gone when the benchmark ends. Others may pass
// through it, as through a server's folder of backups.
func folder(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("", "cfb")
	if err == nil {
		b.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

// build makes the program once, as "make build" does.
var build = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(scratch(), "coffer")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "github.com/cofferdb/coffer/cmd/coffer")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return bin, cmd.Run()
})

func program(b *testing.B) string {
	b.Helper()
	bin, err := build()
	if err != nil {
		b.Fatalf("build coffer: %v", err)
	}
	return bin
}

// median is the middle one, or the lower of the two.
func median(v []float64) float64 {
	slices.Sort(v)
	return v[(len(v)-1)/2]
}
