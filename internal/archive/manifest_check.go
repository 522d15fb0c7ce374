package archive

import (
	"encoding/hex"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// checkHead decides, before anything else is believed, whether this version may
// read on. It knows one need beyond version 1 itself, [NeedMerge].
func checkHead(format string, needs []string) error {
	const op = "read the manifest"
	if format != ManifestFormat {
		if strings.HasPrefix(format, "coffer-archive/") {
			return coffer.E(coffer.KindUnsupported, op, "its format is %q, this version reads %q", format, ManifestFormat).
				WithHint("use a newer coffer")
		}
		return coffer.E(coffer.KindCorrupt, op, "%.60q is not the format of a manifest", format)
	}
	for _, need := range needs {
		if need != NeedMerge {
			return coffer.E(coffer.KindUnsupported, op, "it needs %.200q, which this version cannot do", need).
				WithHint("use a newer coffer")
		}
	}
	return nil
}

// check is the whole law of a manifest. What fails it was not written by us.
func (m Manifest) check() error {
	for _, f := range []func() error{m.checkNames, m.checkCodecs, m.checkChain, m.checkVolumes, m.checkIndex, m.checkSizes} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func bad(format string, args ...any) error {
	return coffer.E(coffer.KindCorrupt, "read the manifest", format, args...)
}

func (m Manifest) checkNames() error {
	switch {
	case !isID(string(m.Backup)):
		return bad("%.60q is no backup id", m.Backup)
	case m.Installation == "" || len(m.Installation) > 64:
		return bad("it names no installation")
	case m.Runner == "" || len(m.Runner) > 200:
		return bad("it names no runner")
	case !m.Project.Valid():
		return bad("%.80q is no project id", m.Project)
	case m.Instance != "" && !coffer.IsUUID(string(m.Instance)):
		return bad("%.60q is no instance id", m.Instance)
	}
	return nil
}

func (m Manifest) checkCodecs() error {
	const op = "read the manifest"
	switch {
	case !knownStream(m.Stream):
		return coffer.E(coffer.KindUnsupported, op, "unknown stream %.40q", m.Stream)
	case m.Compression != codec.Zstd && m.Compression != codec.Gzip:
		return coffer.E(coffer.KindUnsupported, op, "unknown compression %.40q", m.Compression)
	case m.Encryption != "" && m.Encryption != encryptionAge:
		return coffer.E(coffer.KindUnsupported, op, "unknown encryption %.40q", m.Encryption)
	case m.Encryption == "" && m.Key != "":
		return bad("it names a key but no encryption")
	case m.Key != "" && !coffer.IsUUID(string(m.Key)):
		return bad("%.60q is no key id", m.Key)
	}
	return nil
}

const encryptionAge = "age"

func knownStream(s string) bool { return s == "xbstream" || s == "tar" || s == "sql" }

func (m Manifest) checkChain() error {
	switch {
	case !isID(string(m.Root)):
		return bad("%.60q is no root", m.Root)
	case m.Depth < 0 || m.Depth > coffer.MaxChain:
		return bad("depth %d", m.Depth)
	case m.Parent == nil && (m.Root != m.Backup || m.Depth != 0):
		return bad("a full is its own root")
	case m.Parent == nil:
		return nil
	case !isID(string(m.Parent.ID)) || m.Parent.ID == m.Backup || m.Root == m.Backup || m.Depth == 0:
		return bad("an increment stands on another backup")
	case !isSum(m.Parent.ManifestSHA256):
		return bad("the parent's sum is none")
	}
	return nil
}

func (m Manifest) checkVolumes() error {
	if len(m.Volumes) == 0 || len(m.Volumes) > maxVolumes {
		return bad("it has %d volumes", len(m.Volumes))
	}
	count := 0
	for i, v := range m.Volumes {
		want := VolumeName(m.Backup, i, m.Stream, m.Compression, m.Encrypted())
		if v.Name != want {
			return bad("volume %d is named %.200q, not %q", i, v.Name, want)
		}
		if count += len(v.Parts); len(v.Parts) == 0 || count > maxParts {
			return bad("volume %s has %d parts", v.Name, len(v.Parts))
		}
		var size int64
		for j, p := range v.Parts {
			if p.Size <= 0 || p.Size > MaxPart || !isSum(p.SHA256) || p.MD5 != "" && !isHex(p.MD5, 16) {
				return bad("part %d of volume %s has no right size or sum", j, v.Name)
			}
			size += p.Size
		}
		if size != v.Size {
			return bad("the parts of volume %s have %d bytes, not %d", v.Name, size, v.Size)
		}
	}
	return nil
}

func (m Manifest) checkIndex() error {
	switch {
	case m.Index == nil:
		return nil
	case m.Index.Name != IndexName(m.Backup, m.Encrypted()):
		return bad("the index is named %.200q", m.Index.Name)
	case m.Index.Size <= 0 || m.Index.Size > 1<<40 || !isSum(m.Index.SHA256):
		return bad("the index has no right size or sum")
	}
	return nil
}

func (m Manifest) checkSizes() error {
	stored := m.DataBytes()
	if m.Index != nil {
		stored += m.Index.Size
	}
	switch {
	case m.Sizes.Data < 0 || m.Sizes.Plain < 0:
		return bad("a size is negative")
	case m.Sizes.Stored != stored:
		return bad("stored_bytes is %d, its objects have %d", m.Sizes.Stored, stored)
	case m.Frames < 1 || m.Frames > m.DataBytes():
		return bad("it has %d frames", m.Frames)
	case m.Sizes.Plain > m.Frames*codec.FrameSize:
		return bad("%d frames cannot hold %d plain bytes", m.Frames, m.Sizes.Plain)
	}
	return nil
}

func isSum(s string) bool { return isHex(s, 32) }

func isHex(s string, bytes int) bool {
	if len(s) != 2*bytes || strings.ToLower(s) != s {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}
