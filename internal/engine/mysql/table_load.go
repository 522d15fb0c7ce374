package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// tableLoad puts a table into a running server: under a name that only this job
// uses, and from there in one RENAME to where it was wanted. All of it is logged in
// that server's binary log, so that its replicas follow.
type tableLoad struct {
	*tableRun
	client   *client
	database string
	wanted   string // the table's name in the end
	// Of this job alone: while it is loaded, and what it takes the place of.
	temp, old string
	replaces  bool // there is one of the wanted name
}

// loadWait is how long one statement may take, such as a count of all rows.
const loadWait = 6 * time.Hour

// tempTable is what a table is called while it is loaded.
func tempTable(j coffer.JobID) string { return "coffer_load_" + j.Short() }

// openLoad connects to the server and refuses what could not be loaded there.
func (t *tableRun) openLoad(ctx context.Context) (*tableLoad, error) {
	c, err := t.engine.connectFor(loadWait)
	if err != nil {
		return nil, err
	}
	o := t.order
	l := &tableLoad{tableRun: t, client: c, temp: tempTable(o.Job), old: coffer.LongName(o.Name, "_old_"+o.Job.Short())}
	l.database, l.wanted = coffer.Table{Database: o.Database, Name: o.Name, As: o.As, Replace: o.Replace}.Placed(o.Job)
	if err := l.check(ctx); err != nil {
		c.close()
		return nil, coffer.Wrap("look at the server that it goes into", err)
	}
	return l, nil
}

// name quotes a table of the target's database.
func (l *tableLoad) name(table string) string {
	return coffer.QuoteIdentifier(l.database) + "." + coffer.QuoteIdentifier(table)
}

// event tells of something that a person should know.
func (l *tableLoad) event(level coffer.Level, code, format string, args ...any) {
	if l.order.Event != nil {
		l.order.Event(coffer.Event{Level: level, Code: code, Text: fmt.Sprintf(format, args...)})
	}
}

// load is the last step: from the throw-away server into the running one.
func (l *tableLoad) load(ctx context.Context, s *loadServer) (res engine.TableResult, err error) {
	v, err := l.inspect(ctx, s)
	if err != nil {
		return res, err
	}
	keys, triggers, err := l.strip(ctx, s, v)
	if err != nil {
		return res, coffer.E(coffer.KindTool, "get the table ready to be loaded", "%w; the throw-away server said: %s", err, s.words.String())
	}
	if l.order.Loading != nil {
		if err := l.order.Loading(); err != nil {
			return res, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.drop(ctx))
		}
	}()
	if res.Bytes, err = l.feed(ctx, v); err != nil {
		return res, err
	}
	conn, err := l.client.db.Conn(ctx)
	if err != nil {
		return res, l.client.failed(ctx, err)
	}
	defer conn.Close()
	if err := l.compare(ctx, conn, v); err != nil {
		return res, err
	}
	if err := l.place(ctx, conn, keys); err != nil {
		return res, err
	}
	l.attach(ctx, conn, keys, triggers)
	res.Name, res.Rows = l.wanted, v.rows
	l.event(coffer.Info, "table.loaded", "%d rows are in %s", v.rows, l.name(l.wanted))
	return res, nil
}

// strip renames the table in the throw-away server, and takes away there what
// cannot be in two tables of one database.
func (l *tableLoad) strip(ctx context.Context, s *loadServer, v tableView) (keys []foreignKey, triggers []byte, err error) {
	db := coffer.QuoteIdentifier(l.order.Database)
	now := coffer.QuoteIdentifier(l.order.Name)
	rename := func(to string) error {
		_, err := s.conn.ExecContext(ctx, "RENAME TABLE "+db+"."+now+" TO "+db+"."+coffer.QuoteIdentifier(to))
		now = coffer.QuoteIdentifier(to)
		return err
	}
	keys = v.foreignKeys()
	if len(keys) > 0 {
		var drops []string
		for _, k := range keys {
			drops = append(drops, "DROP FOREIGN KEY "+k.name)
		}
		if _, err := s.conn.ExecContext(ctx, "SET SESSION foreign_key_checks = 0"); err != nil {
			return nil, nil, err
		}
		if _, err := s.conn.ExecContext(ctx, "ALTER TABLE "+db+"."+now+" "+strings.Join(drops, ", ")); err != nil {
			return nil, nil, err
		}
	}
	whole := l.order.Replace || l.database != l.order.Database
	if !whole && len(keys) > 0 {
		l.event(coffer.Warn, "table.foreign_keys", "%d foreign keys of the table are left out: beside the table itself they would bind the rows of others", len(keys))
		keys = nil
	}
	switch {
	case v.triggers > 0 && !whole:
		l.event(coffer.Warn, "table.triggers", "%d triggers of the table are left out: their names are taken in this database", v.triggers)
	case v.triggers > 0:
		if l.wanted != l.order.Name {
			if err := rename(l.wanted); err != nil {
				return nil, nil, err
			}
		}
		if triggers, err = l.triggerText(ctx, l.wanted); err != nil {
			return nil, nil, err
		}
	}
	return keys, triggers, rename(l.temp)
}

// feed streams the table through the stock client.
func (l *tableLoad) feed(ctx context.Context, v tableView) (n int64, err error) {
	r, w := io.Pipe()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		var err error
		n, err = l.write(ctx, w, l.temp, append(v.options(), "--skip-triggers", "--skip-add-drop-table")...)
		w.CloseWithError(err)
		return err
	})
	g.Go(func() error {
		err := l.session(ctx, r)
		if err == nil {
			err = io.ErrClosedPipe // nobody reads any more
		}
		r.CloseWithError(err)
		if errors.Is(err, io.ErrClosedPipe) {
			return nil
		}
		return err
	})
	err = g.Wait() // before n is read
	return n, err
}

// session runs SQL in the target's database, as the instance's account.
func (l *tableLoad) session(ctx context.Context, text io.Reader) (err error) {
	dir, err := newRunDir(l.engine.cfg.StateDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.close()) }()
	options, err := dir.writeOptions(l.client.login.options("", backupProgram))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, l.tools.Client, "--defaults-file="+options, "--binary-mode", "--batch", "--sandbox",
		"--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--database="+l.database,
		"--init-command=SET SESSION foreign_key_checks=0, lock_wait_timeout=60")
	cmd.Env, cmd.Dir = toolEnv(dir.path), "/"
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin = text
	return finish(ctx, "load the table", cmd)
}

// compare counts the rows that have come.
func (l *tableLoad) compare(ctx context.Context, conn *sql.Conn, v tableView) error {
	var n int64
	from := l.name(l.temp)
	if v.versioned {
		from += " FOR SYSTEM_TIME ALL"
	}
	if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+from).Scan(&n); err != nil {
		return l.client.failed(ctx, err)
	}
	if n != v.rows {
		return coffer.E(coffer.KindTool, "count the loaded rows", "%d have come of %d", n, v.rows)
	}
	return nil
}

// place gives the loaded table its name, in one step.
func (l *tableLoad) place(ctx context.Context, conn *sql.Conn, keys []foreignKey) error {
	do := func(q string) error {
		_, err := conn.ExecContext(ctx, q)
		return l.client.failed(ctx, err)
	}
	if err := do("SET SESSION foreign_key_checks = 0, lock_wait_timeout = 60"); err != nil {
		return err
	}
	if len(keys) > 0 {
		var adds []string
		for i, k := range keys {
			adds = append(adds, "ADD CONSTRAINT "+l.keyName(i)+" "+k.rule)
		}
		if err := do("ALTER TABLE " + l.name(l.temp) + " " + strings.Join(adds, ", ")); err != nil {
			return coffer.Wrap("make the table's foreign keys", err)
		}
	}
	if !l.replaces {
		return coffer.Wrap("name the table", do("RENAME TABLE "+l.name(l.temp)+" TO "+l.name(l.wanted)))
	}
	err := do("RENAME TABLE " + l.name(l.wanted) + " TO " + l.name(l.old) + ", " + l.name(l.temp) + " TO " + l.name(l.wanted))
	return coffer.Wrap("swap the tables", err)
}

// keyName is a foreign key's name as long as its own may be taken.
func (l *tableLoad) keyName(i int) string {
	return coffer.QuoteIdentifier(fmt.Sprintf("coffer_%s_%d", l.order.Job.Short(), i))
}

// attach finishes what can only be done once the table has its name: the one that it
// replaced goes, and with it the names of triggers and foreign keys. The rows are in
// their place by now: what fails here is told and is no failure of the restore.
func (l *tableLoad) attach(ctx context.Context, conn *sql.Conn, keys []foreignKey, triggers []byte) {
	if l.replaces {
		if _, err := conn.ExecContext(ctx, "DROP TABLE "+l.name(l.old)); err != nil {
			l.event(coffer.Warn, "table.old", "the rows that were replaced are still in %s, and the triggers are not made: %v", l.name(l.old), err)
			return
		}
	}
	if len(keys) > 0 {
		var changes []string
		for i, k := range keys {
			changes = append(changes, "DROP FOREIGN KEY "+l.keyName(i), "ADD CONSTRAINT "+k.name+" "+k.rule)
		}
		if _, err := conn.ExecContext(ctx, "ALTER TABLE "+l.name(l.wanted)+" "+strings.Join(changes, ", ")); err != nil {
			l.event(coffer.Warn, "table.foreign_keys", "the foreign keys have names of ours, %s and so on: %v", l.keyName(0), err)
		}
	}
	if len(triggers) == 0 {
		return
	}
	if err := l.session(ctx, bytes.NewReader(triggers)); err != nil {
		l.event(coffer.Warn, "table.triggers", "the table's triggers are not all made: %v", err)
	}
}

// drop removes the half-loaded table, also when the job was cancelled.
func (l *tableLoad) drop(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	return dropLoad(ctx, l.client, l.database, l.temp)
}

func dropLoad(ctx context.Context, c *client, database, table string) error {
	_, err := c.db.ExecContext(ctx, "DROP TABLE IF EXISTS "+coffer.QuoteIdentifier(database)+"."+coffer.QuoteIdentifier(table))
	return coffer.Wrap("remove the half-loaded table", c.failed(ctx, err))
}

// DropLoad removes what a killed load has left in the engine's server.
func (e *Engine) DropLoad(ctx context.Context, o engine.TableOrder) error {
	database, _ := coffer.Table{Database: o.Database, As: o.As}.Placed(o.Job)
	if err := coffer.CheckIdentifier("database", database); err != nil {
		return err
	}
	c, err := e.connect()
	if err != nil {
		return err
	}
	defer c.close()
	return dropLoad(ctx, c, database, tempTable(o.Job))
}
