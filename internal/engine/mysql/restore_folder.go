package mysql

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/cofferdb/coffer"
)

// own gives everything below root to the target's owner.
func (r *restorer) own(root *os.Root) error {
	if os.Geteuid() != 0 {
		return nil
	}
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(name, r.target.UID, r.target.GID)
	})
	return coffer.Wrap("give the files to their owner", err)
}

// finishFolder removes the tool's own files from a prepared folder and checks that
// none is left which says that something was not applied. backup-my.cnf stays:
// serverOptions reads it.
func finishFolder(root *os.Root) error {
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch path.Ext(name) {
		case ".delta", ".meta", ".new", ".ren", ".del":
			return coffer.E(coffer.KindTool, "file "+name, "was left over: the tool has not applied it")
		}
		if strings.HasPrefix(name, "xtrabackup_") {
			return root.Remove(name)
		}
		return nil
	})
	return coffer.Wrap("check the prepared folder", err)
}

// noteNames adds lower_case_table_names to the options that [serverOptions] reads,
// where it is not the usual 0: the backup tool does not record it.
func (r *restorer) noteNames() error {
	if r.lowerCase == 0 {
		return nil
	}
	options, err := readSmall(r.root, optionsFile)
	if err != nil {
		return err
	}
	if parsePairs(options)["lower_case_table_names"] != "" {
		return nil
	}
	options = fmt.Appendf(options, "lower_case_table_names=%d\n", r.lowerCase)
	return coffer.Wrap("note the server's lower_case_table_names", r.root.WriteFile(optionsFile, options, 0o600))
}

// empty removes everything below root, the marker last.
func empty(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return coffer.Wrap("empty the target", err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return coffer.Wrap("empty the target", err)
	}
	for _, e := range entries {
		if e.Name() == incompleteMarker {
			continue
		}
		if err := root.RemoveAll(e.Name()); err != nil {
			return coffer.Wrap("empty the target", err)
		}
	}
	return coffer.Wrap("empty the target", root.Remove(incompleteMarker))
}
