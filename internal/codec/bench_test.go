package codec_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/cofferdb/coffer/internal/codec"
)

// pages makes n bytes that resemble InnoDB's: 16 KiB pages with headers, rows of
// counters, dates, words and hashes, and a free rest.
func pages(n int, seed uint64) []byte {
	const page = 16 << 10
	rnd := rand.New(rand.NewPCG(seed, 7))
	words := []string{"order", "customer", "invoice", "Amsterdam", "Novi Sad", "pending", "shipped", "blue", "2026-11-24", "example.org"}
	out := make([]byte, 0, n+page)
	for id := uint32(0); len(out) < n; id++ {
		p := make([]byte, page)
		binary.BigEndian.PutUint32(p, rnd.Uint32())
		binary.BigEndian.PutUint32(p[4:], id)
		binary.BigEndian.PutUint64(p[16:], 1<<32+uint64(id)*731)
		row := p[120:120]
		for k := uint64(0); len(row) < page*14/16-200; k++ {
			row = binary.BigEndian.AppendUint64(row, uint64(id)*180+k)
			row = binary.BigEndian.AppendUint32(row, uint32(rnd.IntN(100_000)))
			row = fmt.Appendf(row, "%s %s %016x", words[rnd.IntN(len(words))], words[rnd.IntN(len(words))], rnd.Uint64())
		}
		out = append(out, p...)
	}
	return out[:n]
}

// benchData is generated, or the file that COFFER_BENCH_FILE names.
func benchData(b *testing.B) []byte {
	if name := os.Getenv("COFFER_BENCH_FILE"); name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	return pages(128<<20, 1)
}

func BenchmarkWriter(b *testing.B) {
	data := benchData(b)
	for _, c := range []codec.Compression{codec.Zstd, codec.Gzip} {
		b.Run(string(c), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var stored int64
			for b.Loop() {
				stored = 0
				w, err := codec.NewWriter(io.Discard, c, 0, func(f codec.Frame) { stored += f.Stored })
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(data))/float64(stored), "ratio")
		})
	}
}

func BenchmarkReader(b *testing.B) {
	data := benchData(b)
	for _, c := range []codec.Compression{codec.Zstd, codec.Gzip} {
		var stored bytes.Buffer
		w, err := codec.NewWriter(&stored, c, 0, nil)
		if err != nil {
			b.Fatal(err)
		}
		w.Write(data)
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		b.Run(string(c), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := codec.NewReader(bytes.NewReader(stored.Bytes()), c, 0, nil)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	}
}
