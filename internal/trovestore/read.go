package trovestore

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/xbstream"
)

// Facts are what was found in a backup that was read to its end.
type Facts struct {
	SHA256   string // of the stored bytes
	Checksum string // Trove's: it was compared
	Stored   int64  // bytes
	Plain    int64  // bytes of the xbstream
	Position coffer.Position
	Full     bool   // else it is an increment from Position.From on
	KDF      string // of its encryption; "" is none
	Tool     string // the tool's version, as it says
}

// Bounds of the small files that are looked into.
const (
	checkpointsFile = "xtrabackup_checkpoints"
	infoFile        = "xtrabackup_info"
	maxSmall        = 64 << 10
)

// Read reads a backup through all of its layers to its end. Every sum on the way is
// checked, and the object's checksum compared: with want, what Trove's records say, or
// where they say nothing, with what the store says. KindCorrupt means that it is not what
// Trove has written, or that no whole backup was ever written there. progress may be nil;
// it is told stored bytes.
func Read(ctx context.Context, src Source, o Object, want string, progress func(done, total int64)) (Facts, error) {
	op := "read Trove's backup " + o.Name
	p, err := openPlain(ctx, src, o)
	if err != nil {
		return Facts{}, err
	}
	defer p.Close()
	small := map[string]*bytes.Buffer{}
	if err := walk(p, small, func() {
		if progress != nil {
			progress(p.stored.n, o.Size)
		}
	}); err != nil {
		return Facts{}, coffer.Wrap(op, p.judge(err))
	}
	// The stream has ended; what stands behind it must be nothing.
	if n, err := io.Copy(io.Discard, p); err != nil || n > 0 {
		if err == nil {
			err = p.corrupt("%d bytes follow its last file", n)
		}
		return Facts{}, err
	}
	f := Facts{Stored: p.stored.n, Plain: p.n, KDF: p.kdf}
	f.SHA256 = p.sha256()
	if f.Checksum, err = compare(p.checksums(), cmp.Or(unquoted(want), o.Checksum)); err != nil {
		return Facts{}, coffer.Wrap(op, err)
	}
	if err := f.learn(small); err != nil {
		return Facts{}, coffer.Wrap(op, err)
	}
	return f, nil
}

// walk reads every chunk of the stream, and keeps the small files that say what it is.
func walk(r io.Reader, small map[string]*bytes.Buffer, told func()) error {
	x := xbstream.NewReader(r)
	for {
		c, err := x.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		told()
		if c.Type != xbstream.Data || c.Path != checkpointsFile && c.Path != infoFile {
			continue
		}
		b := small[c.Path]
		if b == nil {
			b = &bytes.Buffer{}
			small[c.Path] = b
		}
		if int64(b.Len())+c.Len > maxSmall {
			return coffer.E(coffer.KindCorrupt, "read file "+c.Path, "it has more than %d bytes", maxSmall)
		}
		if _, err := io.Copy(b, x); err != nil {
			return err
		}
	}
}

// compare holds the object's bytes to the checksum that was recorded for them.
func compare(have []string, want string) (string, error) {
	if !slices.Contains(have, want) {
		return "", coffer.E(coffer.KindCorrupt, "compare its checksum", "%.64q was recorded, and its bytes have %s", want, have[0]).
			WithHint("the object was changed or replaced after Trove wrote it, or its segments do not lie beside it")
	}
	return want, nil
}

// learn fills in what the tool's own small files say.
func (f *Facts) learn(small map[string]*bytes.Buffer) error {
	op := "read file " + checkpointsFile
	b := small[checkpointsFile]
	if b == nil {
		return coffer.E(coffer.KindCorrupt, op, "there is none: the tool did not come to its end").WithHint("Trove has taken a broken backup for a good one; use another")
	}
	pairs := parsePairs(b.Bytes())
	for key, to := range map[string]*uint64{"from_lsn": &f.Position.From, "to_lsn": &f.Position.To, "last_lsn": &f.Position.Last} {
		n, err := strconv.ParseUint(pairs[key], 10, 64)
		if err != nil {
			return coffer.E(coffer.KindCorrupt, op, "%s is no number: %.40q", key, pairs[key])
		}
		*to = n
	}
	switch kind := pairs["backup_type"]; {
	case kind == "full-backuped" && f.Position.From == 0:
		f.Full = true
	case kind == "incremental" && f.Position.From > 0:
	default:
		return coffer.E(coffer.KindCorrupt, op, "it says %.40q from LSN %d", kind, f.Position.From)
	}
	if f.Position.To < f.Position.From {
		return coffer.E(coffer.KindCorrupt, op, "it ends at LSN %d, before its beginning %d", f.Position.To, f.Position.From)
	}
	if b := small[infoFile]; b != nil {
		info := parsePairs(b.Bytes())
		f.Tool = word(info["tool_name"] + " " + info["tool_version"])
		f.Position.ServerVersion = word(info["server_version"])
	}
	return nil
}

// word is a short text of one line out of a file that anybody may have written.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, strings.TrimSpace(s))
	return s[:min(len(s), 80)]
}

// parsePairs reads lines of "key = value".
func parsePairs(b []byte) map[string]string {
	pairs := map[string]string{}
	for line := range bytes.Lines(b) {
		if key, value, ok := strings.Cut(string(line), "="); ok {
			pairs[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return pairs
}
