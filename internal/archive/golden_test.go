package archive_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// The golden archives were written once. Every later version must read them; a
// new form gets a new folder, the old ones never change.
var update = flag.Bool("update", false, "write golden archives that are missing; existing ones stay")

// expect is what a golden archive must read as.
type expect struct {
	Backup         coffer.BackupID `json:"backup"`
	ManifestSHA256 string          `json:"manifest_sha256"`
	PlainSHA256    string          `json:"plain_sha256"`
	PlainBytes     int64           `json:"plain_bytes"`
	Identity       string          `json:"identity,omitempty"` // made for this test alone
	Entries        []string        `json:"entries"`
	RangeOff       int64           `json:"range_off"`
	RangeSHA256    string          `json:"range_sha256"` // of 1000 bytes from there
	Statements     []string        `json:"statements"`
}

const goldenDir = "testdata/golden"

var goldenForms = map[string]func(*archive.Options) int{
	"zstd":        func(*archive.Options) int { return 1300 << 10 },
	"gzip":        func(o *archive.Options) int { o.Compression, o.MD5 = codec.Gzip, true; return 1300 << 10 },
	"age":         func(*archive.Options) int { return 1300 << 10 },
	"two-volumes": func(o *archive.Options) int { o.MaxObject = 48 << 10; return 1300 << 10 },
	"age-volumes": func(o *archive.Options) int { o.MaxObject = 48 << 10; return 1300 << 10 },
	"tiny":        func(o *archive.Options) int { o.Stream = "sql"; return 0 },
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func writeGolden(t *testing.T, form string) {
	t.Helper()
	mem := storetest.NewMemory()
	p := archive.Place{Store: mem}
	o := small()
	n := goldenForms[form](&o)
	e := expect{Backup: coffer.BackupID(coffer.NewUUID()), PlainBytes: int64(n)}
	if strings.HasPrefix(form, "age") {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		o.Recipient, e.Identity = id.Recipient(), id.String()
	}
	plain := words(len(form), n)
	e.ManifestSHA256 = commit(t, p, e.Backup, plain, o).SHA256
	e.PlainSHA256, e.RangeOff = sum(plain), int64(n/2)
	e.RangeSHA256 = sum(plain[n/2 : min(n, n/2+1000)])
	e.Entries = []string{"t0.ibd", "t1.ibd", "t2.ibd"}
	if err := archive.State(t.Context(), p, e.Backup, archive.StatementVerified, map[string]bool{"ok": true}); err != nil {
		t.Fatal(err)
	}
	e.Statements = []string{archive.StatementVerified}
	dir := filepath.Join(goldenDir, form)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, mem) {
		r, err := mem.Open(t.Context(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "expect.json"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// golden loads a golden archive into a store.
func golden(t *testing.T, form string) (archive.Place, expect) {
	t.Helper()
	dir := filepath.Join(goldenDir, form)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var e expect
	mem := storetest.NewMemory()
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() == "expect.json" {
			if err := json.Unmarshal(b, &e); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := mem.Put(t.Context(), f.Name(), store.Bytes(b), nil); err != nil {
			t.Fatal(err)
		}
	}
	return archive.Place{Store: mem}, e
}

func (e expect) want(t *testing.T) archive.Want {
	t.Helper()
	w := want(e.ManifestSHA256)
	if e.Identity != "" {
		id, err := age.ParseX25519Identity(e.Identity)
		if err != nil {
			t.Fatal(err)
		}
		w.Identities = []age.Identity{id}
	}
	return w
}

func TestGoldenArchives(t *testing.T) {
	for form := range goldenForms { // before any parallel test reads them
		if _, err := os.Stat(filepath.Join(goldenDir, form)); *update && os.IsNotExist(err) {
			writeGolden(t, form)
		}
	}
	t.Parallel()
	for form := range goldenForms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			p, e := golden(t, form)
			plain, err := readBack(t.Context(), p, e.Backup, e.want(t))
			if err != nil {
				t.Fatal(err)
			}
			if sum(plain) != e.PlainSHA256 || int64(len(plain)) != e.PlainBytes {
				t.Errorf("%d bytes that are not those written", len(plain))
			}
			a, err := archive.Open(t.Context(), p, e.Backup, e.want(t))
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			got, err := readRange(t, a, e.RangeOff, min(1000, e.PlainBytes-e.RangeOff))
			if err != nil || sum(got) != e.RangeSHA256 {
				t.Errorf("range: %d bytes, %v", len(got), err)
			}
			var entries []string
			for line, err := range a.Entries(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				var l struct{ Name string }
				if err := json.Unmarshal(line, &l); err != nil {
					t.Fatal(err)
				}
				entries = append(entries, l.Name)
			}
			if diff := cmp.Diff(e.Entries, entries); diff != "" {
				t.Error(diff)
			}
			if rep, err := a.Verify(t.Context(), nil); err != nil || !rep.FramesChecked || rep.Index != archive.IndexOK {
				t.Errorf("%+v, %v", rep, err)
			}
			checkGoldenStatements(t, p, e)
		})
	}
}

func checkGoldenStatements(t *testing.T, p archive.Place, e expect) {
	t.Helper()
	said, err := archive.Statements(t.Context(), p, e.Backup)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, s := range said {
		kinds = append(kinds, s.Kind)
	}
	if diff := cmp.Diff(e.Statements, kinds); diff != "" {
		t.Error(diff)
	}
	ours, strangers, err := archive.Survey(t.Context(), p, installation)
	if err != nil || len(ours) != 1 || len(strangers) != 0 {
		t.Errorf("survey: %+v %v %v", ours, strangers, err)
	}
}

// Without us: the stock tools read every golden archive, with the commands of
// docs/formats/archive-v1.md.
func TestStockToolsReadGoldenArchives(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "bash", "age", "zstd", "gzip", "jq", "sha256sum", "dd")
	for form := range goldenForms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			p, e := golden(t, form)
			a, err := archive.Open(t.Context(), p, e.Backup, e.want(t))
			if err != nil {
				t.Fatal(err)
			}
			key := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(key, []byte(e.Identity+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			unpack := "zstd -dc"
			if a.Manifest().Compression == codec.Gzip {
				unpack = "gzip -dc"
			}
			if e.Identity != "" {
				unpack = "age -d -i " + key + " | " + unpack
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-c", recipe(unpack))
			cmd.Dir = filepath.Join(goldenDir, form)
			cmd.Env = append(os.Environ(), "M="+archive.ManifestName(e.Backup), "SUM="+e.ManifestSHA256)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := strings.Fields(string(out)); len(got) == 0 || got[0] != e.PlainSHA256 {
				t.Errorf("stock tools read %s, want %s", out, e.PlainSHA256)
			}
		})
	}
}

// recipe is the documented restore, with sha256sum in place of mbstream.
func recipe(unpack string) string {
	return `set -euo pipefail
echo "$SUM  $M" | sha256sum --quiet -c
jq -r '.volumes[] | .name as $n | foreach .parts[] as $p (0; . + $p.size; "\(. - $p.size) \($p.size) \($p.sha256) \($n)")' "$M" |
  while read -r off size sum name; do
    dd if="$name" iflag=skip_bytes,count_bytes skip="$off" count="$size" bs=1M status=none |
      sha256sum | grep -q "^$sum " || { echo "bad part: $name at $off"; exit 1; }
  done
jq -r '.volumes[].name' "$M" | xargs cat | ` + unpack + ` | sha256sum
`
}
