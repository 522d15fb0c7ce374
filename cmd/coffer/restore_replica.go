package main

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/engine/mysql"
)

// replicaFlags make what a restore makes the replica of another server.
type replicaFlags struct {
	ReplicaOf          string `placeholder:"HOST[:PORT]" help:"Print the statements that make the restored server follow this one, from the backup's position on."`
	Start              bool   `help:"With --replica-of: run them, and wait until the server has reached its source."`
	ReplicaCredentials string `type:"path" placeholder:"FILE" help:"With --start: option file (mode 0600) with the replication account's user and password in its [client] group."`
}

// replica is how a restored server follows, as it is printed.
type replica struct {
	Of         string   `json:"of"`
	Statements []string `json:"statements"` // with marks in place of the account
	Running    bool     `json:"running"`

	follow mysql.Follow
}

func (r *replica) text(w io.Writer) {
	if r.Running {
		fmt.Fprintf(w, "it follows %s\n", r.Of)
		return
	}
	fmt.Fprintf(w, "to make it follow %s, run there, with the replication account in place of its marks:\n", r.Of)
	for _, s := range r.Statements {
		fmt.Fprintf(w, "  %s;\n", s)
	}
}

const opReplica = "prepare the replica"

// plan checks the flags and reads the backup's position before anything is restored;
// nil without --replica-of.
func (f replicaFlags) plan(e *environment, cl *client.Client, c *restoreCmd) (*replica, error) {
	invalid := func(format string, args ...any) error {
		return coffer.E(coffer.KindInvalid, opReplica, format, args...)
	}
	switch {
	case f.ReplicaOf == "" && (f.Start || f.ReplicaCredentials != ""):
		return nil, invalid("--start and --replica-credentials are nothing without --replica-of HOST")
	case f.ReplicaOf == "":
		return nil, nil
	case f.Start && (c.To != "" || c.NoWait):
		return nil, invalid("--start needs the restored server: give neither --to nor --no-wait")
	case f.Start && f.ReplicaCredentials == "":
		return nil, invalid("--start needs the replication account: --replica-credentials FILE")
	}
	host, port, err := splitSource(f.ReplicaOf)
	if err != nil {
		return nil, err
	}
	b, err := cl.BackupDetail(e.ctx, coffer.BackupID(c.Backup))
	if err != nil {
		return nil, err
	}
	r := &replica{Of: net.JoinHostPort(host, strconv.Itoa(port)), follow: mysql.Follow{Host: host, Port: port, Position: b.Backup.Position}}
	r.Statements, err = r.follow.Statements()
	return r, err
}

// splitSource reads HOST or HOST:PORT; an IPv6 address with a port stands in
// brackets.
func splitSource(text string) (host string, port int, err error) {
	host, port = text, 3306
	if h, p, e := net.SplitHostPort(text); e == nil {
		n, e := strconv.ParseUint(p, 10, 16)
		if e != nil || n == 0 {
			return "", 0, coffer.E(coffer.KindInvalid, opReplica, "%q is no port", p)
		}
		host, port = h, int(n)
	}
	return strings.Trim(host, "[]"), port, nil
}

// run starts the replication, if that was asked for.
func (f replicaFlags) run(e *environment, r *replica, conn coffer.Conn) error {
	if r == nil || !f.Start {
		return nil
	}
	if err := r.follow.Start(e.ctx, conn, f.ReplicaCredentials, r.Statements); err != nil {
		return err
	}
	r.Running = true
	return nil
}

// sourceText is where a replica stood in its source's history.
func sourceText(s coffer.Source) string {
	if s.Zero() {
		return ""
	}
	text := "replica of " + net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	if s.GTID != "" {
		text += ", at GTID " + s.GTID
	}
	if s.File != "" {
		text += fmt.Sprintf(", at %s:%d", s.File, s.Offset)
	}
	if s.GTID == "" && s.File == "" {
		text += ", coordinates not known"
	}
	if s.More > 0 {
		text += fmt.Sprintf(", and of %d more", s.More)
	}
	return text
}

// positionText is where the backup stands in its own server's binary log.
func positionText(p coffer.Position) string {
	var parts []string
	if p.GTID != "" {
		parts = append(parts, "GTID "+p.GTID)
	}
	if p.BinlogFile != "" {
		parts = append(parts, fmt.Sprintf("%s:%d", p.BinlogFile, p.BinlogOffset))
	}
	return strings.Join(parts, ", ")
}
