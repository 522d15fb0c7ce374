package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/layers"
	"github.com/cofferdb/coffer/xbstream"
)

// What was extracted is hostile: whoever could write to the store could have
// written it, and the stock tool believes it. It follows the paths in .isl and
// .ren files, and takes options from backup-my.cnf. So before it runs, every name
// is checked, and its options are reduced to those that we know to be harmless.

// disarm checks an extracted layer of a tool, or makes it harmless.
func disarm(root *os.Root, d dialect) error {
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return coffer.E(coffer.KindCorrupt, "file "+name, "is not a regular file")
		}
		switch path.Ext(name) {
		case ".isl":
			return coffer.E(coffer.KindUnsupported, "file "+name, "the table has a DATA DIRECTORY of its own, outside of the data folder").
				WithHint("move the table into the data folder (%s) and take a full backup", moveTable)
		case ".ren":
			b, err := readSmall(root, name)
			if err != nil {
				return err
			}
			return coffer.Wrap("file "+name, xbstream.CheckPath(strings.TrimSpace(string(b))))
		case ".qp", ".xbcrypt", ".lz4":
			return coffer.E(coffer.KindUnsupported, "file "+name, "compressed or encrypted by the tool: it cannot be restored here")
		}
		if name == elsewhereFile {
			return noneElsewhere(root)
		}
		return nil
	})
	if err != nil {
		return coffer.Wrap("check what was unpacked", err)
	}
	options, err := safeOptions(root, d)
	if err != nil {
		return err
	}
	return root.WriteFile(optionsFile, options, 0o600)
}

// elsewhereFile is where Percona's tool of version 8 notes which tablespaces lie
// outside of the data folder; its prepare goes by it.
const elsewhereFile = "xtrabackup_tablespaces"

// noneElsewhere wants that file to be empty of them.
func noneElsewhere(root *os.Root) error {
	b, err := readSmall(root, elsewhereFile)
	if err != nil {
		return err
	}
	var list struct {
		Elsewhere []json.RawMessage `json:"external_tablespaces"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return coffer.E(coffer.KindCorrupt, "file "+elsewhereFile, "%w", err)
	}
	if len(list.Elsewhere) > 0 {
		return coffer.E(coffer.KindUnsupported, "file "+elsewhereFile, "%d tablespaces lie outside of the data folder", len(list.Elsewhere)).
			WithHint("move them into the data folder and take a full backup")
	}
	return nil
}

// readSmall reads a control file of bounded size.
func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, coffer.E(coffer.KindCorrupt, "file "+name, "%w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxControl+1))
	if err != nil {
		return nil, coffer.Wrap("file "+name, err)
	}
	if len(b) > maxControl {
		return nil, coffer.E(coffer.KindCorrupt, "file "+name, "is longer than %d bytes", maxControl)
	}
	return b, nil
}

// optionForms are the options of backup-my.cnf that are taken over, and what their
// values may look like: "n" a number, "w" a word, "s" a switch. Those of Percona's tools
// are for their prepare alone.
func optionForms(percona bool) map[string]string {
	forms := map[string]string{
		"innodb_checksum_algorithm": "w",
		"innodb_log_file_size":      "n",
		"innodb_page_size":          "n",
		"innodb_undo_tablespaces":   "n",
		"innodb_compression_level":  "n",
		"lower_case_table_names":    "n",
	}
	if percona {
		maps.Copy(forms, map[string]string{
			"innodb_log_checksums": "s", "innodb_log_checksum_algorithm": "w", "innodb_fast_checksum": "w",
			"innodb_log_files_in_group": "n", "innodb_log_block_size": "n", "redo_log_version": "n", "server_id": "n",
		})
	}
	return forms
}

// perconaMark begins the options of data that no server of MariaDB's must be started on.
const perconaMark = "# These are the data of MySQL or Percona Server.\n"

// folderOptions gives the options of an extracted or restored folder's
// backup-my.cnf, as an allow-list lets them pass. The files of the system
// tablespace lose their folders: they are in the data folder now.
func folderOptions(root *os.Root, percona bool) (map[string]string, error) {
	b, err := readSmall(root, optionsFile)
	if err != nil {
		return nil, err
	}
	pairs, options := parsePairs(b), make(map[string]string)
	for key, form := range optionForms(percona) {
		if value, ok := pairs[key]; ok {
			if !matches(form, value) {
				return nil, coffer.E(coffer.KindCorrupt, "file "+optionsFile, "%s is %q", key, value)
			}
			options[key] = value
		}
	}
	names, err := layers.SystemFiles(pairs["innodb_data_file_path"])
	if err != nil {
		return nil, coffer.E(coffer.KindCorrupt, "file "+optionsFile, "%w", err)
	}
	items := strings.Split(strings.Trim(pairs["innodb_data_file_path"], `"`), ";")
	for i, name := range names {
		if err := xbstream.CheckPath(name); err != nil {
			return nil, coffer.Wrap("file "+optionsFile, err)
		}
		_, size, _ := strings.Cut(items[i], ":")
		items[i] = name + ":" + strings.TrimSpace(size)
	}
	options["innodb_data_file_path"] = strings.Join(items, ";")
	for _, key := range []string{"innodb_page_size", "innodb_undo_tablespaces"} {
		if options[key] == "" {
			return nil, coffer.E(coffer.KindCorrupt, "file "+optionsFile, "%s is missing", key)
		}
	}
	return options, nil
}

func matches(form, value string) bool {
	letters := "0123456789"
	switch form {
	case "w":
		letters += "abcdefghijklmnopqrstuvwxyz_"
	case "s":
		return value == "0" || value == "1" || value == "ON" || value == "OFF"
	}
	return value != "" && len(value) <= 32 && strings.Trim(value, letters) == ""
}

// safeOptions is the backup-my.cnf that the tool gets to see.
func safeOptions(root *os.Root, d dialect) ([]byte, error) {
	options, err := folderOptions(root, d.percona)
	if err != nil {
		return nil, err
	}
	var lines []string
	for key, value := range options {
		lines = append(lines, fmt.Sprintf("%s=%s\n", key, value))
	}
	slices.Sort(lines)
	mark := ""
	if d.percona {
		mark = perconaMark
	}
	return []byte(mark + "[mysqld]\n" + strings.Join(lines, "") + "innodb_undo_directory=./\n"), nil
}

// serverOptions are the options that a server needs to start on the restored
// folder dir: innodb_data_file_path, innodb_undo_tablespaces, innodb_page_size
// and innodb_checksum_algorithm, of which only the last may be missing.
func serverOptions(dir string) (map[string]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, coffer.Wrap("read the restored server's options", err)
	}
	defer root.Close()
	if b, err := readSmall(root, optionsFile); err == nil && bytes.HasPrefix(b, []byte(perconaMark)) {
		return nil, coffer.E(coffer.KindUnsupported, "read the restored server's options", "the data are of MySQL or Percona Server, which are not run here").
			WithHint("restore into a folder, and start the server that was backed up on it: coffer restore ID --to DIR")
	}
	options, err := folderOptions(root, false)
	if err != nil {
		return nil, coffer.Wrap("read the restored server's options", err)
	}
	delete(options, "innodb_log_file_size") // the new server's own affair
	delete(options, "innodb_compression_level")
	return options, nil
}
