package mysql

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// lookTool finds a program: the configured path, PATH, or the folders for system
// programs, which are not in every service's PATH.
func lookTool(configured, program string) (string, error) {
	names := []string{program, "/usr/sbin/" + program, "/usr/bin/" + program, "/usr/local/bin/" + program}
	if configured != "" {
		names = []string{configured}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", coffer.E(coffer.KindUnprocessable, "find the backup tool", "%s is not there", strings.Join(names, ", ")).
		WithHint("install the package %s of the server's own version", program)
}

// toolEnv is all of the environment that a tool gets.
func toolEnv(tmp string) []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TMPDIR=" + tmp, "TZ=UTC"}
}

// toolVersion asks the tool for the server version that it is made for.
func (d dialect) toolVersion(ctx context.Context, path string) (line string, v version, err error) {
	const op = "ask the backup tool for its version"
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.Dir = toolEnv(os.TempDir()), "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", v, coffer.Wrap(op, context.Cause(ctx))
	}
	m := d.version.FindSubmatch(out)
	if err == nil && m == nil {
		return "", v, coffer.E(coffer.KindUnprocessable, op, "%s is no %s: it says %q", path, d.program, cut(string(out), 200)).
			WithHint("install the %s of the server's own version", d.program)
	}
	if err != nil {
		return "", v, coffer.E(coffer.KindTool, op, "%s says %q (%v)", path, cut(string(out), 200), err)
	}
	number := string(m[1])
	if strings.Count(number, ".") == 1 { // "8.3"
		number += ".0"
	}
	v, err = parseVersion(number)
	return strings.TrimSpace(string(out)), v, err
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// version is a server's version number.
type version [3]int

var versionNumber = regexp.MustCompile(`^(\d+)\.(\d+)\.(\d+)`)

func parseVersion(s string) (v version, err error) {
	m := versionNumber.FindStringSubmatch(s)
	if m == nil {
		return v, coffer.E(coffer.KindUnsupported, "read a version", "%q is no version number", cut(s, 80))
	}
	for i := range v {
		if v[i], err = strconv.Atoi(m[i+1]); err != nil {
			return v, coffer.E(coffer.KindUnsupported, "read a version", "%w", err)
		}
	}
	return v, nil
}

// series is "10.11".
func (v version) series() string { return strconv.Itoa(v[0]) + "." + strconv.Itoa(v[1]) }

func (v version) String() string { return v.series() + "." + strconv.Itoa(v[2]) }
