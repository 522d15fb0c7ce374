package mysql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/layers"
)

// One table is taken out of a chain in four steps. The layers are joined as for a
// whole restore, but of the files only the table's are written and those that no
// server starts without; superseded pages are not read, and nothing of any other
// table. The tool prepares that as it does a partial backup. A server is started on
// it that nobody else can reach, and the stock dump program writes the table out of
// it: into a file, or through the stock client into a running server.
//
// A dump, and not the tablespace itself: a table that was imported is missing from
// the next increment of the server that it was imported into, and its FULLTEXT
// indexes are lost.

const opTable = "restore the table"

var _ engine.TableRestorer = (*Engine)(nil)

// tableRun is one restore of a table.
type tableRun struct {
	*restorer
	engine *Engine
	order  engine.TableOrder
	tools  Tools
	chain  []engine.Layer
}

// RestoreTable takes the table out of the chain.
func (e *Engine) RestoreTable(ctx context.Context, o engine.TableOrder, chain []engine.Layer) (res engine.TableResult, err error) {
	if err := e.checkTable(o, chain); err != nil {
		return res, coffer.Wrap(opTable, err)
	}
	tools, err := e.tableTools(o)
	if err != nil {
		return res, coffer.Wrap(opTable, err)
	}
	t := &tableRun{engine: e, order: o, tools: tools, chain: chain}
	if o.Load {
		l, err := t.openLoad(ctx)
		if err != nil {
			return res, coffer.Wrap(opTable, err)
		}
		defer l.client.close()
		res, err = t.run(ctx, l.load)
		return res, coffer.Wrap(opTable, err)
	}
	res, err = t.run(ctx, t.dump)
	return res, coffer.Wrap(opTable, err)
}

// checkTable refuses what cannot be, before anything is read.
func (e *Engine) checkTable(o engine.TableOrder, chain []engine.Layer) error {
	if err := (coffer.Table{Database: o.Database, Name: o.Name, As: o.As}).Check(); err != nil {
		return err
	}
	if e.cfg.Method == engine.MySQLDump {
		return coffer.E(coffer.KindUnsupported, "look at the backup", "it is a dump, in which a table has no place of its own").
			WithHint("restore its database with --database, or read the dump: coffer backup show --recipe")
	}
	if err := checkLayers(chain); err != nil {
		return err
	}
	if dialectOfLayer(e.cfg.Method, chain[0].Position().ServerVersion).percona {
		return coffer.E(coffer.KindUnsupported, "look at the backup", "it is of MySQL or Percona Server, and one table is taken out of a MariaDB's only").
			WithHint("restore all of it into a new server and take the table from there")
	}
	if len(chain) == 1 {
		return nil
	}
	return mergeOnly(coffer.Mergeable(positionsOf(chain)))
}

// mergeOnly says what to do where a chain cannot be joined.
func mergeOnly(err error) error {
	if err == nil || !coffer.IsKind(err, coffer.KindUnsupported) {
		return err
	}
	return coffer.E(coffer.KindUnsupported, "look at the chain", "one table can be taken only out of a chain that can be merged: %w", err).
		WithHint("restore all of the backup into a new server and take the table from there, or choose a full backup")
}

// tableTools finds the programs that are needed.
func (e *Engine) tableTools(o engine.TableOrder) (t Tools, err error) {
	for _, want := range []struct {
		path       *string
		configured string
		program    string
	}{
		{&t.Backup, e.cfg.Tools.Backup, backupProgram}, {&t.Server, e.cfg.Tools.Server, "mariadbd"},
		{&t.Dump, e.cfg.Tools.Dump, "mariadb-dump"}, {&t.Client, e.cfg.Tools.Client, "mariadb"},
	} {
		if want.program == "mariadb" && !o.Load {
			continue
		}
		if *want.path, err = lookTool(want.configured, want.program); err != nil {
			return t, err
		}
	}
	return t, nil
}

// plan joins what is needed of the layers.
func (t *tableRun) plan(ctx context.Context) (*layers.Plan, *os.File, error) {
	var names []string
	found := false
	base := system(t.chain)
	p, spool, err := checkedChain(ctx, t.chain, "", func(name string) bool {
		f, ok := parseTableFile(name)
		if dir, file, _ := strings.Cut(name, "/"); base(name) || !ok {
			return base(name) || file == "db.opt" && decodeName(dir) == t.order.Database
		}
		if f.ext == ".frm" {
			names = append(names, coffer.TableText(f.database, f.table))
		}
		if f.database != t.order.Database {
			return false
		}
		found = found || f.table == t.order.Name && f.ext == ".frm"
		return f.table == t.order.Name || f.ext == ".TRN" // of a trigger, by its own name
	})
	if err != nil {
		return nil, nil, mergeOnly(err)
	}
	if !found {
		spool.Close()
		return nil, nil, noTable(coffer.TableText(t.order.Database, t.order.Name), names)
	}
	return p, spool, nil
}

// tableSpare is what the tool and the server write beside the files.
const tableSpare = 160 << 20

// run does the steps; out is the last one, with the server of the table.
func (t *tableRun) run(ctx context.Context, out func(context.Context, *loadServer) (engine.TableResult, error)) (res engine.TableResult, err error) {
	t.target()
	if err := checkTarget(t.restorer.target); err != nil {
		return res, err
	}
	root, err := os.OpenRoot(t.order.Dir)
	if err != nil {
		return res, err
	}
	defer root.Close()
	t.root = root
	if err := mark(root); err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, empty(root)) }()
	if err := t.take(ctx); err != nil {
		return res, err
	}
	t.progress("start")
	l := &loader{restorer: t.restorer, tools: t.tools}
	s, err := l.start(ctx, t.serverArgs()...)
	if err != nil {
		return res, coffer.Wrap("start a server for the table", err)
	}
	res, err = out(ctx, s)
	return res, errors.Join(err, s.stop(true))
}

// target makes the restorer that the steps share with a whole restore.
func (t *tableRun) target() {
	t.restorer = &restorer{env: restoreEnv{Backup: t.tools.Backup}, target: engine.Target{
		Dir: t.order.Dir, UID: t.order.UID, GID: t.order.GID, Memory: cmp.Or(t.order.Memory, 128<<20), Progress: t.order.Progress,
	}}
}

// take writes the files and prepares them, as if they had been a partial backup.
func (t *tableRun) take(ctx context.Context) error {
	p, spool, err := t.plan(ctx)
	if err != nil {
		return err
	}
	defer spool.Close()
	return t.merge(ctx, t.chain, p)
}

// serverArgs keep the server small; who connects to it is not asked for an account,
// since no account came along and nobody else reaches its socket.
func (t *tableRun) serverArgs() []string {
	args := []string{
		"--skip-grant-tables", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=8M", "--key-buffer-size=8M",
		"--aria-pagecache-buffer-size=8M", "--performance-schema=OFF", "--innodb-fast-shutdown=2",
		"--tmpdir=" + t.order.Dir, "--slave-load-tmpdir=" + t.order.Dir,
	}
	if n := t.chain[len(t.chain)-1].Position().LowerCase; n > 0 {
		args = append(args, fmt.Sprintf("--lower-case-table-names=%d", n))
	}
	return args
}
