package guard

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// readLines calls each with every line of r, cut at MaxLine, without its end. It
// returns the number of bytes read, at the end of r or the first error.
func readLines(r io.Reader, each func(line string)) int64 {
	br := bufio.NewReaderSize(r, MaxLine)
	var n int64
	cut := false // the present line's first piece has been handed on
	for {
		piece, err := br.ReadSlice('\n')
		n += int64(len(piece))
		if len(piece) > 0 && !cut {
			each(strings.TrimRight(string(piece), "\r\n"))
		}
		cut = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !cut {
			return n
		}
	}
}

// tail keeps the last lines.
type tail struct {
	lines [tailLines]string
	n     int
}

func (t *tail) add(line string) {
	if len(line) > tailLine {
		line = strings.Clone(line[:tailLine])
	}
	t.lines[t.n%tailLines] = line
	t.n++
}

func (t *tail) last() []string {
	out := make([]string, 0, tailLines)
	for i := max(0, t.n-tailLines); i < t.n; i++ {
		out = append(out, t.lines[i%tailLines])
	}
	return out
}
