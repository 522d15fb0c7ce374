package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// BenchmarkServerStart is the time from starting coffer server, embedded, until
// its API gives the first answer: with an empty state folder, and with one that
// it has made before. It also says how large the program is.
func BenchmarkServerStart(b *testing.B) {
	bin := program(b)
	fi, err := os.Stat(bin)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var first, again []float64
		for range 7 {
			state := folder(b)
			first = append(first, start(b, bin, state))
			again = append(again, start(b, bin, state))
		}
		b.ReportMetric(median(first), "first_ms")
		b.ReportMetric(median(again), "again_ms")
	}
	b.ReportMetric(float64(fi.Size())/1e6, "binary_MB")
	b.ReportMetric(0, "ns/op")
}

// start runs a server until it has answered, and gives the milliseconds.
func start(b *testing.B, bin, state string) float64 {
	b.Helper()
	addr := freeAddress(b)
	cmd := exec.Command(bin, "--state", state, "server", "--listen", addr)
	from := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // how it ended is no matter
	}()
	for time.Since(from) < 30*time.Second {
		if answers(b.Context(), "http://"+addr+"/") {
			return float64(time.Since(from)) / float64(time.Millisecond)
		}
		time.Sleep(time.Millisecond)
	}
	b.Fatal("the server does not answer")
	return 0
}

func answers(ctx context.Context, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	r.Close = true
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, got.Body)
	return got.Body.Close() == nil
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr())
}
