package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// VersityServer is one private versitygw: an S3 server of another make than radosgw,
// on a folder. It is built from Go modules of its own, which tools/s3 pins.
type VersityServer struct {
	URL            string // of S3
	Access, Secret string // of the only user

	farm
}

// StartVersity builds the server, unless that was done before, and starts it. modfile
// is the path of tools/s3/go.mod. End it with Stop.
func StartVersity(modfile string) (*VersityServer, error) {
	if err := lookAll("go"); err != nil {
		return nil, err
	}
	program, err := tool(modfile, "versitygw")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		return nil, err
	}
	s := &VersityServer{Access: "AKVERSITY", Secret: "secret-of-versity", farm: farm{dir: dir}}
	if err := s.up(program); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start a private versitygw: %w", err)
	}
	return s, nil
}

// tool is the path of a Go tool of that go.mod, which go builds and keeps.
func tool(modfile, name string) (string, error) {
	modfile, err := filepath.Abs(modfile)
	if err != nil {
		return "", err
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(modfile)))
	for _, args := range [][]string{{"tool", "-modfile=" + modfile, name, "--version"}, {"tool", "-n", "-modfile=" + modfile, name}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("build %s: %w", name, err)
		}
		if args[1] == "-n" {
			return strings.TrimSpace(string(out)), nil
		}
	}
	return "", nil
}

func (s *VersityServer) up(program string) error {
	for _, sub := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o755); err != nil {
			return err
		}
	}
	ports, err := loopbackPorts(1)
	if err != nil {
		return err
	}
	at := fmt.Sprintf("127.0.0.1:%d", ports[0])
	s.URL = "http://" + at
	env := []string{"ROOT_ACCESS_KEY=" + s.Access, "ROOT_SECRET_KEY=" + s.Secret}
	if err := s.start("versitygw", env, program, "--port", at, "--quiet", "posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data")); err != nil {
		return err
	}
	return s.await("versitygw", 30*time.Second, func(ctx context.Context) bool {
		return answers(ctx, s.URL, 403) // it wants to know who asks
	})
}

// Stop ends the server and removes what it stores.
func (s *VersityServer) Stop() {
	s.stop()
	os.RemoveAll(s.dir)
}
