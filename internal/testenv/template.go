package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
)

// freshDataDir is the content of a newly installed data folder. It is made once
// per process and never changed after that.
var freshDataDir = sync.OnceValues(installDataDir)

type templateFile struct {
	name string
	dir  bool
	data []byte
}

// owner is whom a server runs as: the account "mysql" when the tests run as
// root, which mariadbd refuses to be; else whoever runs the tests.
func owner() (uid, gid int, err error) {
	if os.Getuid() != 0 {
		return os.Getuid(), os.Getgid(), nil
	}
	u, err := user.Lookup("mysql")
	if err != nil {
		return 0, 0, fmt.Errorf("the tests run as root and need an account to run mariadbd as: %w", err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid, nil
}

func installDataDir() ([]templateFile, error) {
	tool, err := Look("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	if err := os.Chmod(root, 0o755); err != nil {
		return nil, err
	}
	data, tmp := filepath.Join(root, "data"), filepath.Join(root, "tmp")
	if err := errors.Join(os.Mkdir(tmp, 0o777), os.Chmod(tmp, 0o777)); err != nil {
		return nil, err
	}
	args := []string{
		"--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--force", "--innodb-log-file-size=16M",
	}
	if os.Getuid() == 0 {
		args = append(args, "--user=mysql")
	}
	cmd := exec.Command(tool, args...)
	cmd.Dir = root
	// A server that starts removes the temporary tables of others in a shared folder.
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	return readTree(data)
}

func readTree(root string) ([]templateFile, error) {
	var files []templateFile
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f := templateFile{name: name, dir: d.IsDir()}
		if !f.dir {
			if f.data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// writeTree writes the template's files under root, owned by uid and gid.
func writeTree(root string, files []templateFile, uid, gid int) error {
	for _, f := range files {
		path := filepath.Join(root, f.name)
		if f.dir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
		} else if err := os.WriteFile(path, f.data, 0o600); err != nil {
			return err
		}
		if os.Getuid() == 0 {
			if err := os.Lchown(path, uid, gid); err != nil {
				return err
			}
		}
	}
	return nil
}
