package archive_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
)

// sample is the text of a sound manifest, of an increment in two volumes.
func sample(t testing.TB) []byte {
	t.Helper()
	sum := strings.Repeat("ab", 32)
	m := archive.Manifest{
		Format: archive.ManifestFormat, Needs: []string{}, Installation: installation, Backup: backupA,
		Runner: "agent/boot", Project: "demo", Instance: instance, Tool: "t", Method: "mariabackup",
		Stream: "xbstream", Compression: "zstd", Encryption: "age", Key: coffer.KeyID(backupB), Frames: 2,
		Volumes: []archive.Volume{
			{Name: string(backupA) + ".xbstream.zst.age", Size: 30, Parts: []archive.Part{{Size: 10, SHA256: sum}, {Size: 20, SHA256: sum, MD5: sum[:32]}}},
			{Name: string(backupA) + ".v02.xbstream.zst.age", Size: 5, Parts: []archive.Part{{Size: 5, SHA256: sum}}},
		},
		Index:  &archive.Index{Name: string(backupA) + ".index.age", Size: 7, SHA256: sum},
		Parent: &archive.Parent{ID: backupB, ManifestSHA256: sum}, Root: backupB, Depth: 1,
		Sizes: coffer.Sizes{Data: 100, Plain: 90, Stored: 42},
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseManifest(t *testing.T) {
	t.Parallel()
	good := sample(t)
	m, err := archive.ParseManifest(good)
	if err != nil {
		t.Fatal(err)
	}
	if m.DataBytes() != 35 || !m.Encrypted() || m.Parent.ID != backupB {
		t.Errorf("%+v", m)
	}
	more := bytes.Replace(good, []byte(`"needs":[]`), []byte(`"needs":[],"colour":"red"`), 1)
	again, err := archive.ParseManifest(more)
	if diff := cmp.Diff(m, again); err != nil || diff != "" {
		t.Errorf("an unknown field was not ignored: %v %s", err, diff)
	}
}

func TestParseManifestRefuses(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	for _, tc := range []struct {
		name, old, new string
		kind           coffer.Kind
	}{
		{"unknown need", `"needs":[]`, `"needs":["dedup"]`, coffer.KindUnsupported},
		{"unknown need behind a known one", `"needs":[]`, `"needs":["merge","dedup"]`, coffer.KindUnsupported},
		{"later format", `coffer-archive/1`, `coffer-archive/2`, coffer.KindUnsupported},
		{"a need is told before a field that changed its type", `"needs":[],"installation":"`, `"needs":["x"],"installation":7,"x":"`, coffer.KindUnsupported},
		{"no format", `coffer-archive/1`, `something`, coffer.KindCorrupt},
		{"no JSON", `}`, ``, coffer.KindCorrupt},
		{"unknown compression", `"compression":"zstd"`, `"compression":"lz4"`, coffer.KindUnsupported},
		{"unknown encryption", `"encryption":"age"`, `"encryption":"rot13"`, coffer.KindUnsupported},
		{"unknown stream", `"stream":"xbstream"`, `"stream":"zip"`, coffer.KindUnsupported},
		{"key without encryption", `"encryption":"age"`, `"encryption":""`, coffer.KindCorrupt},
		{"volume of another backup", `"name":"0a0`, `"name":"0b0`, coffer.KindCorrupt},
		{"volume elsewhere", `"name":"0a`, `"name":"../0a`, coffer.KindCorrupt},
		{"volumes out of order", `.v02.`, `.v03.`, coffer.KindCorrupt},
		{"parts do not add up", `"size":30`, `"size":31`, coffer.KindCorrupt},
		{"negative part", `"size":10`, `"size":-10`, coffer.KindCorrupt},
		{"huge part", `"size":10`, `"size":1099511627776`, coffer.KindCorrupt},
		{"no part sum", sum, ``, coffer.KindCorrupt},
		{"upper case sum", sum, strings.ToUpper(sum), coffer.KindCorrupt},
		{"stored does not add up", `"stored_bytes":42`, `"stored_bytes":35`, coffer.KindCorrupt},
		{"negative plain", `"plain_bytes":90`, `"plain_bytes":-1`, coffer.KindCorrupt},
		{"more plain than frames", `"plain_bytes":90`, `"plain_bytes":2097153`, coffer.KindCorrupt},
		{"no frame", `"frames":2`, `"frames":0`, coffer.KindCorrupt},
		{"index elsewhere", `.index.age`, `.manifest.json`, coffer.KindCorrupt},
		{"its own parent", `"id":"0b000000-0000-4000-8000-00000000000b"`, `"id":"0a000000-0000-4000-8000-00000000000a"`, coffer.KindCorrupt},
		{"its own root", `"root":"0b000000-0000-4000-8000-00000000000b"`, `"root":"0a000000-0000-4000-8000-00000000000a"`, coffer.KindCorrupt},
		{"increment at depth 0", `"depth":1`, `"depth":0`, coffer.KindCorrupt},
		{"project that is a path", `"project":"demo"`, `"project":"../x"`, coffer.KindCorrupt},
		{"no runner", `"runner":"agent/boot"`, `"runner":""`, coffer.KindCorrupt},
		{"backup that is none", `"backup":"0a`, `"backup":"xa`, coffer.KindCorrupt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(string(sample(t)), tc.old, tc.new, 1)
			if text == string(sample(t)) {
				t.Fatal("nothing was replaced")
			}
			_, err := archive.ParseManifest([]byte(text))
			wantKind(t, tc.name, err, tc.kind)
		})
	}
	_, err := archive.ParseManifest(make([]byte, archive.MaxManifest+1))
	wantKind(t, "too long", err, coffer.KindCorrupt)
}

// Whatever is read as a manifest is sound, and is the same when written again.
func FuzzManifest(f *testing.F) {
	f.Add(sample(f))
	files, err := filepath.Glob(goldenDir + "/*/*.manifest.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := archive.ParseManifest(b)
		if err != nil {
			if !coffer.IsKind(err, coffer.KindCorrupt, coffer.KindUnsupported) {
				t.Errorf("kind %s: %v", coffer.KindOf(err), err)
			}
			return
		}
		for _, v := range m.Volumes {
			if !strings.HasPrefix(v.Name, string(m.Backup)) || strings.ContainsAny(v.Name, "/\\") {
				t.Errorf("volume %q of %s", v.Name, m.Backup)
			}
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := archive.ParseManifest(text)
		if err != nil {
			t.Fatalf("not read again: %v", err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(text, twice) {
			t.Errorf("changed on the way: %v\n%s\n%s", err, text, twice)
		}
	})
}
