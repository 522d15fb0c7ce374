package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cofferdb/coffer"
)

// lineageFile is the id file in the data folder's root: one nonce a line, one
// line a backup. The backup tool does not copy it.
const lineageFile = ".coffer-lineage"

// maxNonces bounds the id file; older backups than these can have no more
// increments.
const maxNonces = 1000

const opLineage = "read the data folder's lineage"

// readNonces reads the id file. No file is no nonce.
func readNonces(dataDir string) ([]string, error) {
	f, err := os.OpenFile(filepath.Join(dataDir, lineageFile), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, coffer.Wrap(opLineage, err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, coffer.E(coffer.KindUnprocessable, opLineage, "%s is no regular file", f.Name()).WithHint("remove it")
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, coffer.Wrap(opLineage, err)
	}
	nonces := strings.Fields(string(b))
	return nonces[max(0, len(nonces)-maxNonces):], nil
}

// addNonce leaves the nonce in the id file, durably: a copy with one line more
// takes the file's place. No link planted in the server's folder is followed.
func addNonce(dataDir, nonce string) (err error) {
	const op = "leave the backup's nonce in the data folder"
	nonces, err := readNonces(dataDir)
	if err != nil {
		return err
	}
	nonces = append(nonces, nonce)
	nonces = nonces[max(0, len(nonces)-maxNonces):]
	root, err := os.OpenRoot(dataDir)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	defer root.Close()
	temp := lineageFile + "." + nonce
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return coffer.Wrap(op, err).(*coffer.Error).WithHint("the agent must be able to write in %s", dataDir)
	}
	_, err = f.WriteString(strings.Join(nonces, "\n") + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(temp, lineageFile)
	}
	if err != nil {
		_ = root.Remove(temp)
		return coffer.Wrap(op, err)
	}
	return coffer.Wrap(op, syncDir(root))
}

func syncDir(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// firstLSN reads the LSN at which the server's redo log began: the same over
// restarts and crashes, another after a restore. 0 is a log of a kind that we do
// not know.
func firstLSN(redoDir string) (uint64, error) {
	f, err := os.Open(filepath.Join(redoDir, "ib_logfile0"))
	if err != nil {
		return 0, coffer.E(coffer.KindUnprocessable, opLineage, "%w", err).
			WithHint("the agent must run on the server's machine, as root or as the server's user")
	}
	defer f.Close()
	var head [16]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0, coffer.Wrap(opLineage, err)
	}
	if !bytes.HasPrefix(head[:], []byte("Phys")) {
		return 0, nil
	}
	return binary.BigEndian.Uint64(head[8:]), nil
}

// hasNonce reports whether the folder has seen the backup that left nonce.
func hasNonce(nonces []string, nonce string) bool {
	return nonce != "" && slices.Contains(nonces, nonce)
}
