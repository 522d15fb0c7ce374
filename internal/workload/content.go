package workload

import "math/rand/v2"

// prose makes contents that compress about as well as people's data does: words
// from a small vocabulary, with runs of noise between them.
type prose struct {
	rng   *rand.Rand
	noise *rand.ChaCha8
}

func newProse(seed, stream uint64) *prose {
	var key [32]byte
	for i := range 8 {
		key[i], key[8+i] = byte(seed>>(8*i)), byte(stream>>(8*i))
	}
	return &prose{rng: rand.New(rand.NewPCG(seed, stream)), noise: rand.NewChaCha8(key)}
}

const (
	vocabulary = "time person year way day thing man world life hand part child eye woman place work week case point company number group problem fact invoice delivery address payment customer pending returned urgent warehouse"
	hexDigits  = "0123456789abcdef"
)

// words splits the vocabulary without the help of package state.
func words() [][]byte {
	var all [][]byte
	from := 0
	for i := 0; i <= len(vocabulary); i++ {
		if i == len(vocabulary) || vocabulary[i] == ' ' {
			all = append(all, []byte(vocabulary[from:i]))
			from = i + 1
		}
	}
	return all
}

// text appends n bytes of letters, digits and blanks: no quote, no backslash.
func (p *prose) text(b []byte, n int, vocabulary [][]byte) []byte {
	end := len(b) + n
	for len(b) < end {
		r := p.rng.Uint64()
		b = append(b, vocabulary[r%uint64(len(vocabulary))]...)
		b = append(b, ' ')
		if r>>60 < 4 {
			for range 8 {
				r >>= 4
				b = append(b, hexDigits[r&15])
			}
			b = append(b, ' ')
		}
	}
	return b[:end]
}

// blob appends n bytes, of which a quarter are noise.
func (p *prose) blob(b []byte, n int, vocabulary [][]byte) []byte {
	end := len(b) + n
	for len(b) < end {
		b = p.text(b, min(768, end-len(b)), vocabulary)
		if k := min(256, end-len(b)); k > 0 {
			from := len(b)
			b = append(b, make([]byte, k)...)
			p.noise.Read(b[from:])
		}
	}
	return b
}
