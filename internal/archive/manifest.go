package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
)

// ManifestFormat is the format that this package writes and reads.
const ManifestFormat = "coffer-archive/1"

// NeedMerge is the need of an increment that only a merge restores: who applies it
// step by step loses a table.
const NeedMerge = "merge"

// Bounds of the format; a manifest beyond them is refused.
const (
	MaxManifest = 64 << 20  // bytes of a manifest
	MaxPart     = 256 << 20 // bytes of a part
	maxParts    = 400_000   // parts of all volumes
)

// Manifest is the commit record of a backup. A field that a reader does not know
// is ignored, a word in Needs that it does not know makes it refuse.
type Manifest struct {
	Format       string                `json:"format"`
	Needs        []string              `json:"needs"`
	Installation coffer.InstallationID `json:"installation"`
	Backup       coffer.BackupID       `json:"backup"`
	Runner       coffer.Runner         `json:"runner"`
	Project      coffer.ProjectID      `json:"project"`
	Instance     coffer.InstanceID     `json:"instance,omitempty"`

	Datastore   coffer.Datastore  `json:"datastore"`
	Tool        string            `json:"tool"`   // the tool's version line
	Method      string            `json:"method"` // "mariabackup"
	Stream      string            `json:"stream"` // "xbstream", "tar" or "sql"
	Compression codec.Compression `json:"compression"`
	Encryption  string            `json:"encryption,omitempty"` // "age", or "" for none
	Key         coffer.KeyID      `json:"key,omitempty"`        // the data key, where there is one

	Frames  int64    `json:"frames"`
	Volumes []Volume `json:"volumes"`
	Index   *Index   `json:"index,omitempty"`

	Position coffer.Position `json:"position"`         // with the lineage
	Parent   *Parent         `json:"parent,omitempty"` // none for a full
	Root     coffer.BackupID `json:"root"`             // the full of the chain; its own id for a full
	Depth    int             `json:"depth"`            // links from the root

	// Synthesized is of a full that was joined from the chain of another backup: it
	// stands where that one does, and so do Started and Finished.
	Synthesized *Synthesized `json:"synthesized,omitempty"`

	Sizes    coffer.Sizes `json:"sizes"`
	Started  time.Time    `json:"started"`
	Finished time.Time    `json:"finished"`
}

// Volume is one data object.
type Volume struct {
	Name  string `json:"name"` // without the place's prefix
	Size  int64  `json:"size"` // bytes
	Parts []Part `json:"parts"`
}

// Part is a byte range of a volume, which begins where the part before ends.
type Part struct {
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
	MD5    string `json:"md5,omitempty"`
}

// Index names the index object.
type Index struct {
	Name   string `json:"name"` // without the place's prefix
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Parent binds an increment to the very manifest that it stands on.
type Parent struct {
	ID             coffer.BackupID `json:"id"`
	ManifestSHA256 string          `json:"manifest_sha256"`
}

// Synthesized names the link whose chain was joined, and when that was done.
type Synthesized struct {
	Parent
	At time.Time `json:"at"`
}

// Encrypted reports whether data and index are age files.
func (m Manifest) Encrypted() bool { return m.Encryption != "" }

// DataBytes is the sum of the volumes, without the index.
func (m Manifest) DataBytes() int64 {
	var n int64
	for _, v := range m.Volumes {
		n += v.Size
	}
	return n
}

// ParseManifest reads and checks a manifest. KindUnsupported means that it is
// sound but asks for what this version cannot do; KindCorrupt, that it is none.
func ParseManifest(b []byte) (Manifest, error) {
	const op = "read the manifest"
	if len(b) > MaxManifest {
		return Manifest{}, coffer.E(coffer.KindCorrupt, op, "it has %d bytes, more than %d", len(b), MaxManifest)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, foreign(op, b, err)
	}
	if err := checkHead(m.Format, m.Needs); err != nil {
		return Manifest{}, err
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// foreign tells a manifest of another version, whose fields may be of other types, from
// what is none.
func foreign(op string, b []byte, err error) error {
	var head struct {
		Format string   `json:"format"`
		Needs  []string `json:"needs"`
	}
	if json.Unmarshal(b, &head) == nil {
		if err := checkHead(head.Format, head.Needs); err != nil {
			return err
		}
	}
	return coffer.E(coffer.KindCorrupt, op, "%w", err)
}

// marshal gives the bytes that are stored, and their sum.
func (m Manifest) marshal() ([]byte, string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(m); err != nil {
		return nil, "", coffer.E(coffer.KindInternal, "write the manifest", "%w", err)
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), hex.EncodeToString(sum[:]), nil
}
