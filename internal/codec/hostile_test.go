package codec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// each runs f with and without the frame table, for both methods.
func each(t *testing.T, plain []byte, f func(t *testing.T, c codec.Compression, stored []byte, read func([]byte) ([]byte, error))) {
	for _, c := range methods {
		stored, frames := compress(t, c, 2, plain)
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			f(t, c, stored, func(b []byte) ([]byte, error) { return decompress(t, bytes.NewReader(b), c, 2, nil) })
		})
		t.Run(string(c)+"/table", func(t *testing.T) {
			t.Parallel()
			f(t, c, stored, func(b []byte) ([]byte, error) {
				return decompress(t, bytes.NewReader(b), c, 2, slices.Values(frames))
			})
		})
	}
}

func TestAFlippedBitIsNeverBelieved(t *testing.T) {
	t.Parallel()
	plain := pages(frame+frame/8, 4)
	each(t, plain, func(t *testing.T, c codec.Compression, stored []byte, read func([]byte) ([]byte, error)) {
		rnd := rand.New(rand.NewPCG(1, 2))
		for i := range 20 {
			bad := slices.Clone(stored)
			at := rnd.IntN(len(bad))
			if i < 10 {
				at = i // headers
			}
			bad[at] ^= 1 << rnd.IntN(8)
			got, err := read(bad)
			if err == nil && bytes.Equal(got, plain) {
				continue // a gzip header's flag or time: nothing is lost
			}
			if err == nil {
				t.Fatalf("flip at %d: other bytes, and no error", at)
			}
			wantKind(t, err, coffer.KindCorrupt)
		}
	})
}

func TestACutIsNoticed(t *testing.T) {
	t.Parallel()
	plain := pages(2*frame+100, 4)
	each(t, plain, func(t *testing.T, c codec.Compression, stored []byte, read func([]byte) ([]byte, error)) {
		for _, n := range []int{0, 1, 3, 4, 5, 9, 17, len(stored) / 2, len(stored) - 5, len(stored) - 1} {
			_, err := read(stored[:n])
			wantKind(t, err, coffer.KindCorrupt)
		}
	})
}

func TestBytesBehindTheEndAreRefused(t *testing.T) {
	t.Parallel()
	plain := pages(frame+100, 4)
	each(t, plain, func(t *testing.T, c codec.Compression, stored []byte, read func([]byte) ([]byte, error)) {
		for _, tail := range []string{"\x00", "x", "hello, this is no frame"} {
			_, err := read(append(slices.Clone(stored), tail...))
			wantKind(t, err, coffer.KindCorrupt)
		}
	})
}

func TestALyingTableIsRefused(t *testing.T) {
	t.Parallel()
	plain := pages(2*frame+7, 4)
	for _, c := range methods {
		stored, frames := compress(t, c, 2, plain)
		for name, f := range map[string][]codec.Frame{
			"none":      {},
			"short":     frames[:2],
			"long":      append(slices.Clone(frames), codec.Frame{Plain: 1, Stored: 1}),
			"plain +1":  {{frames[0].Plain + 1, frames[0].Stored}, frames[1], frames[2]},
			"plain -1":  {{frames[0].Plain - 1, frames[0].Stored}, frames[1], frames[2]},
			"stored +1": {{frames[0].Plain, frames[0].Stored + 1}, frames[1], frames[2]},
			"stored -1": {{frames[0].Plain, frames[0].Stored - 1}, frames[1], frames[2]},
			"huge":      {{1 << 50, 1 << 50}},
			"greedy":    {{1, 64 << 20}},
			"negative":  {{-1, frames[0].Stored}},
			"zero":      {{0, 0}},
		} {
			_, err := decompress(t, bytes.NewReader(stored), c, 2, slices.Values(f))
			if coffer.KindOf(err) != coffer.KindCorrupt {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
	}
}

func TestBombsAreRefused(t *testing.T) {
	t.Parallel()
	bomb := rleBomb(8192)
	_, err := decompress(t, bytes.NewReader(bomb), codec.Zstd, 2, nil)
	wantKind(t, err, coffer.KindCorrupt)
	_, err = codec.DecodeFrame(nil, codec.Zstd, bomb, frame)
	wantKind(t, err, coffer.KindCorrupt)
	gz, _ := compress(t, codec.Gzip, 1, make([]byte, 3*frame))
	_, err = codec.DecodeFrame(nil, codec.Gzip, gz, frame)
	wantKind(t, err, coffer.KindCorrupt)
	_, err = codec.DecodeFrame(nil, codec.Gzip, gz, codec.MaxFrame+1)
	wantKind(t, err, coffer.KindCorrupt)
	got, err := codec.DecodeFrame(nil, codec.Gzip, gz, -1)
	if err != nil || len(got) != 3*frame {
		t.Fatal(len(got), err)
	}
}

// rleBomb is a zstd frame of n RLE blocks: 128 KiB out of four bytes each.
func rleBomb(n int) []byte {
	bomb := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	bomb = append(bomb, 0x00, 0x58) // no content size, 2 MiB window
	for i := range n {
		head := 128<<10<<3 | 1<<1
		if i == n-1 {
			head |= 1
		}
		bomb = append(bomb, byte(head), byte(head>>8), byte(head>>16), 'x')
	}
	return bomb
}

// Not parallel: it measures what is allocated.
func TestAKnownLengthBoundsTheMemory(t *testing.T) {
	gz, _ := compress(t, codec.Gzip, 1, make([]byte, 40*frame))
	for c, bomb := range map[codec.Compression][]byte{codec.Zstd: rleBomb(400), codec.Gzip: gz} { // within MaxFrame
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := codec.DecodeFrame(nil, c, bomb, frame)
		runtime.ReadMemStats(&after)
		wantKind(t, err, coffer.KindCorrupt)
		if got := after.TotalAlloc - before.TotalAlloc; got > 8*frame {
			t.Errorf("%s: %d bytes were allocated for a frame of %d", c, got, frame)
		}
	}
}

func TestTheSourcesErrorKeepsItsKind(t *testing.T) {
	t.Parallel()
	for _, c := range methods {
		stored, frames := compress(t, c, 2, pages(2*frame, 4))
		for _, cause := range []error{coffer.E(coffer.KindUnavailable, "read a part", "away"), io.ErrUnexpectedEOF} {
			src := func() io.Reader {
				return io.MultiReader(bytes.NewReader(stored[:len(stored)-100]), iotest.ErrReader(cause))
			}
			_, err := decompress(t, src(), c, 2, nil)
			if !errors.Is(err, cause) {
				t.Fatal(err)
			}
			wantKind(t, err, coffer.KindOf(cause))
			_, err = decompress(t, src(), c, 2, slices.Values(frames))
			wantKind(t, err, coffer.KindOf(cause))
		}
	}
}

func TestWhatCameBeforeAFaultIsGiven(t *testing.T) {
	t.Parallel()
	plain := pages(3*frame, 4)
	stored, frames := compress(t, codec.Zstd, 2, plain)
	got, err := decompress(t, bytes.NewReader(stored[:frames[0].Stored+frames[1].Stored+9]), codec.Zstd, 2, nil)
	wantKind(t, err, coffer.KindCorrupt)
	wantBytes(t, got, plain[:2*frame])
}

func TestAReaderThatIsNotReadToItsEndCloses(t *testing.T) {
	t.Parallel()
	stored, _ := compress(t, codec.Zstd, 2, pages(9*frame, 4))
	r, err := codec.NewReader(bytes.NewReader(stored), codec.Zstd, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzReader(f *testing.F) {
	small, frames := compress(f, codec.Zstd, 1, []byte("a small one"))
	f.Add(small, int64(frames[0].Plain))
	f.Add(slices.Concat(small, small), int64(-1))
	gz, _ := compress(f, codec.Gzip, 1, []byte("a small one"))
	f.Add(gz, int64(11))
	f.Add([]byte("\x5a\x2a\x4d\x18\xff\xff\xff\xff"), int64(0))
	f.Add([]byte("\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\xff\x00"), int64(1<<40))
	f.Fuzz(func(t *testing.T, b []byte, plain int64) {
		for _, c := range methods {
			got, err := codec.DecodeFrame(nil, c, b, plain)
			if err == nil && plain >= 0 && int64(len(got)) != plain {
				t.Fatalf("%d bytes instead of %d, and no error", len(got), plain)
			}
			r, err := codec.NewReader(bytes.NewReader(b), c, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, io.LimitReader(r, codec.MaxFrame))
			if err != nil && coffer.KindOf(err) != coffer.KindCorrupt {
				t.Fatal(err)
			}
			r.Close()
			table := slices.Values([]codec.Frame{{Plain: plain, Stored: int64(len(b))}})
			if out, err := decompress(t, bytes.NewReader(b), c, 1, table); err == nil && int64(len(out)) != plain {
				t.Fatalf("%d bytes instead of %d, and no error", len(out), plain)
			}
		}
	})
}
