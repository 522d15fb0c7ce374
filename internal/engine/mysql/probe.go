package mysql

import (
	"cmp"
	"context"
	"crypto/sha1"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

const opProbe = "look at the server"

// Probe looks at the server and, with a base, refuses every increment whose
// parent is not this server's own past.
func (e *Engine) Probe(ctx context.Context, base engine.Base) (engine.Facts, error) {
	c, err := e.connect()
	if err != nil {
		return engine.Facts{}, err
	}
	defer c.close()
	l, err := e.look(ctx, c, base)
	if err != nil {
		return engine.Facts{}, err
	}
	size, err := measure(ctx, l.facts.DataDir)
	if err == nil && len(size.links) > 0 && l.dialect.method != engine.MySQLDump {
		err = linked(size.links)
	}
	l.facts.NonTrans = size.nonTrans
	return l.facts, err
}

// sight is all that a look at the server has shown.
type sight struct {
	dialect dialect
	server  server
	nonces  []string
	binlogs []binlog
	sources []coffer.Source // of a replica, one of each connection
	facts   engine.Facts
}

// look is the part of Probe that Backup does once more.
func (e *Engine) look(ctx context.Context, c *client, base engine.Base) (sight, error) {
	s, err := c.ask(ctx)
	if err != nil {
		return sight{}, err
	}
	if dir := e.cfg.Conn.DataDir; dir != "" {
		s.dataDir = filepath.Clean(dir)
	}
	l := sight{server: s}
	l.facts.Datastore = coffer.Datastore{Type: s.product, Version: s.version.series(), VersionID: versionID(s.product, s.version)}
	l.facts.Method = cmp.Or(e.cfg.Method, e.cfg.Runner.Choose(l.facts.Datastore))
	if l.dialect, err = dialectFor(l.facts.Method, s); err != nil {
		return l, err
	}
	if !base.Full() && !l.dialect.method.Increments() {
		return l, coffer.NoIncrement(l.dialect.method)
	}
	if err := l.lookAtFolder(); err != nil {
		return l, err
	}
	if err := e.findTool(ctx, &l); err != nil {
		return l, err
	}
	if err := c.checkGrants(ctx, &l); err != nil {
		return l, err
	}
	if err := c.checkEncryption(ctx, &l); err != nil {
		return l, err
	}
	if err := c.lookAtSources(ctx, &l); err != nil {
		return l, err
	}
	if l.binlogs, err = c.binlogs(ctx, s); err != nil {
		return l, err
	}
	if n := len(l.binlogs); n > 0 {
		l.facts.Position.BinlogFile, l.facts.Position.BinlogOffset = l.binlogs[n-1].file, l.binlogs[n-1].size
	}
	if base.Full() {
		return l, nil
	}
	return l, c.checkBase(ctx, l, base)
}

// lookAtFolder reads what the data folder tells.
func (l *sight) lookAtFolder() error {
	s := l.server
	l.facts.DataDir, l.facts.RedoBytes = s.dataDir, s.redoBytes
	var err error
	if l.facts.DataBytes, err = usedBytes(s.dataDir); err != nil {
		return err
	}
	if l.nonces, err = readNonces(s.dataDir); err != nil {
		return err
	}
	first, err := l.firstLSN()
	l.facts.Position = coffer.Position{
		Lineage: coffer.Lineage{FirstLSN: first}, ServerID: s.id(),
		To: s.lsn, Last: s.lsn, GTID: s.gtid,
		DataFilePath: s.dataFilePath, PageSize: s.pageSize, UndoSpaces: s.undoSpaces, ServerVersion: s.versionText,
		LowerCase: s.lowerCase,
	}
	return err
}

// firstLSN is where the server's redo log began; MySQL's does not show it.
func (l *sight) firstLSN() (uint64, error) {
	if l.server.product != "mariadb" {
		return 0, nil
	}
	return firstLSN(l.server.redoDir())
}

// findTool finds the backup tool and compares it with the server.
func (e *Engine) findTool(ctx context.Context, l *sight) (err error) {
	const op = "compare the backup tool with the server"
	d := l.dialect
	if l.facts.Tool, err = lookTool(d.path(e.cfg.Tools), d.program); err != nil {
		return err
	}
	line, v, err := d.toolVersion(ctx, l.facts.Tool)
	if err != nil {
		return err
	}
	l.facts.ToolVer = line
	s := l.server.version
	switch {
	case d.percona && !covers(v, s):
		return coffer.E(coffer.KindUnprocessable, op, "%s is made for MySQL %s, the server is %s", l.facts.Tool, v, s).
			WithHint("install an %s of the server's series that is as new as the server: before it is, its backups may be damaged", d.program)
	case d.percona:
	case v[0] < s[0] || v[0] == s[0] && (v[1] < s[1] || v[1] == s[1] && v[2] < s[2]):
		return coffer.E(coffer.KindUnprocessable, op, "%s is %s, older than the server's %s", l.facts.Tool, v, s).
			WithHint("install the %s of version %s", d.program, s)
	case v.series() != s.series():
		l.warn("%s is made for MariaDB %s, the server is %s: MariaDB supports its own series only", l.facts.Tool, v.series(), s)
	}
	return nil
}

func (l *sight) warn(format string, args ...any) {
	l.facts.Warnings = append(l.facts.Warnings, fmt.Sprintf(format, args...))
}

// usedBytes is what is used on the filesystem that holds dir: Trove's meaning of
// a backup's size.
func usedBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, coffer.E(coffer.KindUnprocessable, "measure the data folder", "%s: %w", dir, err).
			WithHint("the agent must run on the server's machine")
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize, nil
}

// sizes are bytes in the data folder.
type sizes struct {
	nonTrans int64    // of Aria and MyISAM tables, which are copied while their writers wait
	all      int64    // of what a full backup copies, about
	links    []string // tables whose data lie outside of the data folder, a few
}

// linked refuses tables with a DATA DIRECTORY. The tool stores an InnoDB table of
// that kind under its name in the data folder, but a server that is started on it
// there crashes at the table's next ALTER: its dictionary wants the other place.
// Aria's the tool does not open at all. (MyISAM's are stored as what they are.)
func linked(tables []string) error {
	return coffer.E(coffer.KindUnsupported, opProbe, "tables with a DATA DIRECTORY of their own cannot be backed up: %s", strings.Join(tables, ", ")).
		WithHint("move them into the data folder: " + moveTable)
}

// moveTable is how a table gets rid of its DATA DIRECTORY; no ALTER does that.
const moveTable = "CREATE TABLE new LIKE old, INSERT INTO new SELECT * FROM old, RENAME TABLE old TO gone, new TO old"

func measure(ctx context.Context, dataDir string) (s sizes, err error) {
	err = filepath.WalkDir(dataDir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return nil // dropped meanwhile
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		ext, name := filepath.Ext(path), d.Name()
		aria := ext == ".MAD" || ext == ".MAI"
		if (ext == ".isl" || aria && d.Type()&fs.ModeSymlink != 0) && len(s.links) < maxLinks {
			rel, _ := filepath.Rel(dataDir, path)
			s.links = append(s.links, strings.TrimSuffix(rel, ext))
		}
		nonTrans := aria || ext == ".MYD" || ext == ".MYI"
		if !nonTrans && ext != ".ibd" && !strings.HasPrefix(name, "ibdata") && !strings.HasPrefix(name, "undo") {
			return nil
		}
		if fi, err := d.Info(); err == nil && fi.Mode().IsRegular() {
			s.all += fi.Size()
			if nonTrans {
				s.nonTrans += fi.Size()
			}
		}
		return nil
	})
	return s, coffer.Wrap("measure the data folder", err)
}

// versionID names a datastore version as a UUID that is the same everywhere
// (RFC 9562, version 5).
func versionID(product string, v version) string {
	b := sha1.Sum([]byte("https://github.com/cofferdb/coffer/datastore/" + product + "/" + v.series()))
	b[6], b[8] = b[6]&0x0f|0x50, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
