package testenv

import (
	"os"
	"syscall"
)

func chown(path string, uid, gid int) error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.Lchown(path, uid, gid)
}

func chownAll(uid, gid int, paths ...string) error {
	for _, p := range paths {
		if err := chown(p, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// ownerOf is who runs a server on a reused data folder: the folder's owner, who
// for root's own folders is the usual account.
func ownerOf(dir string, uid, gid int) (int, int, error) {
	fi, err := os.Stat(dir)
	if err != nil {
		return 0, 0, err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
		return int(st.Uid), int(st.Gid), nil
	}
	return uid, gid, nil
}
