package codec_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

const frame = codec.FrameSize

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	data := pages(3*frame+777, 3)
	for _, c := range methods {
		for _, n := range []int{0, 1, frame - 1, frame, frame + 1, len(data)} {
			for _, workers := range []int{0, 1, 3} {
				t.Run(fmt.Sprintf("%s/%d/%d", c, n, workers), func(t *testing.T) {
					t.Parallel()
					stored, frames := compress(t, c, workers, data[:n])
					checkTable(t, c, stored, frames, data[:n])
					got, err := decompress(t, bytes.NewReader(stored), c, workers, nil)
					if err != nil {
						t.Fatal(err)
					}
					wantBytes(t, got, data[:n])
					got, err = decompress(t, bytes.NewReader(stored), c, workers, slices.Values(frames))
					if err != nil {
						t.Fatal(err)
					}
					wantBytes(t, got, data[:n])
				})
			}
		}
	}
}

// checkTable wants the table to tell exactly where each independent frame is.
func checkTable(t *testing.T, c codec.Compression, stored []byte, frames []codec.Frame, plain []byte) {
	t.Helper()
	if want := max(1, (len(plain)+frame-1)/frame); len(frames) != want {
		t.Fatalf("%d frames, want %d", len(frames), want)
	}
	for i, f := range frames {
		got, err := codec.DecodeFrame(nil, c, stored[:f.Stored], f.Plain)
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		wantBytes(t, got, plain[:f.Plain])
		stored, plain = stored[f.Stored:], plain[f.Plain:]
	}
	if len(stored) != 0 || len(plain) != 0 {
		t.Fatalf("the table leaves %d stored and %d plain bytes", len(stored), len(plain))
	}
}

func TestEveryZstdFrameCarriesItsChecksum(t *testing.T) {
	t.Parallel()
	stored, frames := compress(t, codec.Zstd, 2, pages(3*frame+5, 1))
	for i, f := range frames {
		if stored[4]&4 == 0 {
			t.Errorf("frame %d has no checksum", i)
		}
		stored = stored[f.Stored:]
	}
}

func TestStockToolsReadOurs(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2*frame + 9} {
		plain := pages(n, 5)
		for c, cmd := range map[codec.Compression]string{codec.Zstd: "zstd", codec.Gzip: "gzip"} {
			t.Run(fmt.Sprintf("%s/%d", cmd, n), func(t *testing.T) {
				t.Parallel()
				stored, _ := compress(t, c, 2, plain)
				wantBytes(t, tool(t, stored, cmd, "-dc"), plain)
			})
		}
	}
}

func TestWeReadStockTools(t *testing.T) {
	t.Parallel()
	a, b := pages(frame+frame/4+1, 1), pages(frame/2, 2)
	for _, args := range [][]string{
		{"zstd", "-1", "-c"},
		{"zstd", "-19", "-c"},
		{"zstd", "-3", "--no-check", "-c"},
		{"zstd", "-3", "--long=24", "-c"},
		{"gzip", "-c"},
		{"gzip", "-1", "-c"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			stored := slices.Concat(tool(t, a, args[0], args[1:]...), tool(t, nil, args[0], args[1:]...), tool(t, b, args[0], args[1:]...))
			got, err := decompress(t, bytes.NewReader(stored), codec.Compression(args[0]), 2, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, got, append(slices.Clip(a), b...))
		})
	}
}

func TestSkippableFramesArePassedOver(t *testing.T) {
	t.Parallel()
	stored, _ := compress(t, codec.Zstd, 1, []byte("one"))
	skip := []byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc")
	got, err := decompress(t, bytes.NewReader(slices.Concat(skip, stored, skip)), codec.Zstd, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, got, []byte("one"))
}

func TestSmallReads(t *testing.T) {
	t.Parallel()
	plain := pages(frame+100, 8)
	for _, c := range methods {
		stored, _ := compress(t, c, 1, plain)
		r, err := codec.NewReader(bytes.NewReader(stored), c, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		buf := make([]byte, 4099)
		for {
			n, err := r.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		wantBytes(t, got, plain)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(buf); err == nil {
			t.Fatal("a closed reader reads")
		}
	}
}

func TestUnknownCompression(t *testing.T) {
	t.Parallel()
	_, err := codec.NewWriter(io.Discard, "lz4", 1, nil)
	wantKind(t, err, coffer.KindUnsupported)
	_, err = codec.NewReader(bytes.NewReader(nil), "lz4", 1, nil)
	wantKind(t, err, coffer.KindUnsupported)
	_, err = codec.DecodeFrame(nil, "", []byte("x"), 1)
	wantKind(t, err, coffer.KindUnsupported)
}
