package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
)

// objects are the files of the store by backup; hidden uploads are among them.
func (f *fleet) objects() map[coffer.BackupID][]string {
	f.t.Helper()
	found := map[coffer.BackupID][]string{}
	err := filepath.WalkDir(f.path("store"), func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if name := strings.TrimPrefix(filepath.Base(path), "."); err == nil && !d.IsDir() && len(name) > 36 {
			id := coffer.BackupID(name[:36])
			found[id] = append(found[id], path)
		}
		return err
	})
	if err != nil {
		f.t.Error(err)
	}
	return found
}

// named is the object of that kind among a backup's; "" is none.
func named(objects []string, suffix string) string {
	for _, o := range objects {
		if base := filepath.Base(o); len(base) > 36 && base[36:] == suffix {
			return o
		}
	}
	return ""
}

// runnerIn is the runner that an intent or a manifest names.
func runnerIn(path string) (r struct{ Runner coffer.Runner }) {
	b, err := os.ReadFile(path)
	if err == nil {
		_ = json.Unmarshal(b, &r) // "" is no runner
	}
	return r
}

// other is a process that was found in /proc.
type other struct {
	pid, parent int
	name, args  string
}

func (o other) String() string { return fmt.Sprintf("%d (%s) %s", o.pid, o.name, o.args) }

// left are the processes of this fleet that are none of its roles: guards, tools and
// restored servers.
func (f *fleet) left() (out []other) {
	mine := map[int]bool{os.Getpid(): true}
	for _, r := range f.roles {
		if r.cmd != nil && r.cmd.Process != nil {
			mine[r.cmd.Process.Pid] = true
		}
	}
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, n := range names {
		raw, err := os.ReadFile(n)
		open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
		if err != nil || open < 0 || end < open {
			continue
		}
		fields := strings.Fields(string(raw[end+1:]))
		o := other{name: string(raw[open+1 : end])}
		o.pid, _ = strconv.Atoi(strings.TrimSpace(string(raw[:open])))
		o.parent, _ = strconv.Atoi(fields[1])
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(n), "cmdline"))
		o.args = strings.ReplaceAll(strings.TrimRight(string(args), "\x00"), "\x00", " ")
		exe, _ := os.Readlink(filepath.Join(filepath.Dir(n), "exe"))
		if fields[0] != "Z" && !mine[o.pid] && (exe == f.program || strings.Contains(o.args, f.dir+"/")) {
			out = append(out, o)
		}
	}
	return out
}
