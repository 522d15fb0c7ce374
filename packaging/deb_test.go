package packaging_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
)

// build makes a package of a stand-in for the program.
func build(t *testing.T) string {
	t.Helper()
	testenv.Need(t, "dpkg-deb", "dpkg")
	dir := t.TempDir()
	program := filepath.Join(dir, "coffer")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho coffer\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("./deb", program, "0.1.0~test", dir)
	c.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "DEB_ARCH=amd64")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "coffer_0.1.0~test_amd64.deb")
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// The package holds the program, the units, and a configuration that upgrades keep
// and others cannot read; built again it is the same to the byte.
func TestDeb(t *testing.T) {
	t.Parallel()
	first, second := build(t), build(t)
	a, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(second)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("two builds differ: %d and %d bytes, %v", len(a), len(b), err)
	}
	contents := output(t, "dpkg-deb", "--contents", first)
	for _, line := range []string{
		`-rwxr-xr-x root/root .* \./usr/bin/coffer`, `-rw-r----- root/root .* \./etc/coffer/coffer.toml`,
		`\./usr/lib/systemd/system/coffer-server.service`, `\./usr/lib/systemd/system/coffer-api.service`,
		`\./usr/lib/systemd/system/coffer-taskmanager.service`, `\./usr/lib/systemd/system/coffer-conductor.service`,
		`\./usr/lib/systemd/system/coffer-agent.service`, `2023-11-14 .* \./usr/share/doc/coffer/copyright`,
	} {
		if !regexp.MustCompile(line).MatchString(contents) {
			t.Errorf("no %s in\n%s", line, contents)
		}
	}
	if got := output(t, "dpkg-deb", "--field", first, "Package", "Version", "Architecture"); got != "Package: coffer\nVersion: 0.1.0~test\nArchitecture: amd64\n" {
		t.Errorf("fields:\n%s", got)
	}
	dir := t.TempDir()
	output(t, "dpkg-deb", "--control", first, dir)
	conffiles, err := os.ReadFile(filepath.Join(dir, "conffiles"))
	if err != nil || string(conffiles) != "/etc/coffer/coffer.toml\n" {
		t.Errorf("conffiles %q, %v", conffiles, err)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		output(t, "sh", "-n", filepath.Join(dir, script))
	}
	postinst, err := os.ReadFile(filepath.Join(dir, "postinst"))
	if err != nil || !strings.Contains(string(postinst), "chown root:coffer /etc/coffer /etc/coffer/coffer.toml") {
		t.Errorf("the configuration is not the group's: %v", err)
	}
}

// The units are what systemd understands; those beside a database leave restored
// servers running, and no other runs as root.
func TestUnits(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("systemd/*.service")
	if err != nil || len(names) != 5 {
		t.Fatalf("%v, %v", names, err)
	}
	dir := t.TempDir()
	verify := []string{"verify", "--man=no"}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		beside := strings.Contains(name, "agent") || strings.Contains(name, "server")
		if beside != strings.Contains(text, "\nKillMode=process\n") || beside == strings.Contains(text, "\nUser=coffer\n") {
			t.Errorf("%s: the wrong user, or restored servers end with it", name)
		}
		for _, line := range []string{"Type=notify", "NoNewPrivileges=yes", "ProtectSystem=full", "TimeoutStartSec=infinity"} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s does not say %s", name, line)
			}
		}
		copied := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(copied, []byte(strings.ReplaceAll(text, "/usr/bin/coffer", "/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		verify = append(verify, copied)
	}
	analyze, err := testenv.Look("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the units are not verified")
		return
	}
	out, err := exec.Command(analyze, verify...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) {
			t.Error(line)
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
