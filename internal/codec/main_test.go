package codec_test

import (
	"bytes"
	"io"
	"iter"
	"os/exec"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var methods = []codec.Compression{codec.Zstd, codec.Gzip}

// compress gives plain in frames, and their table.
func compress(t testing.TB, c codec.Compression, workers int, plain []byte) ([]byte, []codec.Frame) {
	t.Helper()
	var out bytes.Buffer
	var frames []codec.Frame
	w, err := codec.NewWriter(&out, c, workers, func(f codec.Frame) { frames = append(frames, f) })
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(plain, 100_003) {
		if n, err := w.Write(part); err != nil || n != len(part) {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), frames
}

// decompress reads everything, closes, and gives the first error.
func decompress(t testing.TB, src io.Reader, c codec.Compression, workers int, frames iter.Seq[codec.Frame]) ([]byte, error) {
	t.Helper()
	r, err := codec.NewReader(src, c, workers, frames)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	_, err = io.Copy(&out, r)
	return out.Bytes(), err
}

// tool runs a stock program over stdin.
func tool(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	testenv.Need(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, errs.String())
	}
	return out
}

func wantKind(t *testing.T, err error, k coffer.Kind) {
	t.Helper()
	if got := coffer.KindOf(err); got != k {
		t.Fatalf("kind %q, want %q: %v", got, k, err)
	}
}

func wantBytes(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes that differ from the %d wanted", len(got), len(want))
	}
}
