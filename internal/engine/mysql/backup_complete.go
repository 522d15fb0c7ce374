package mysql

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cofferdb/coffer"
)

// checkComplete refuses a backup that has a table's definition and not the rest of
// it, unless the server has no more than that itself: a table whose tablespace was
// discarded, or lies in the system tablespace, or whose files are lost.
func (r *run) checkComplete(ctx context.Context) error {
	const op = "look for lost tables"
	all := r.stream.incomplete()
	if len(all) == 0 {
		return nil
	}
	own, err := r.client.ownSpaces(ctx, r.sight.server)
	if err != nil {
		return err
	}
	for _, l := range all {
		there, err := r.there(l, own)
		if err != nil {
			return coffer.Wrap(op, err)
		}
		if there {
			return overtaken(op, "table %s was made, moved or imported while the backup ran, and only its definition is in it", l.table)
		}
	}
	return nil
}

// there says whether the server has what the backup lacks of a table. If the table is
// gone by now nobody can tell, and it counts as there.
func (r *run) there(l lost, own map[string]bool) (bool, error) {
	dir := r.sight.facts.DataDir
	if _, err := os.Lstat(filepath.Join(dir, l.table+".frm")); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	if l.innodb {
		return own[strings.ToLower(l.file)], nil
	}
	for _, ext := range l.exts {
		_, err := os.Stat(filepath.Join(dir, l.file+ext))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// ownSpaces are the names, in small letters, of InnoDB's tables that have a
// tablespace of their own.
func (c *client) ownSpaces(ctx context.Context, s server) (map[string]bool, error) {
	names, err := c.texts(ctx, `SELECT t.NAME FROM `+s.innodbView("TABLES")+` t
		JOIN `+s.innodbView("TABLESPACES")+` s ON s.SPACE = t.SPACE WHERE t.SPACE > 0`)
	own := make(map[string]bool)
	for _, name := range names {
		own[strings.ToLower(name)] = true
	}
	return own, err
}
