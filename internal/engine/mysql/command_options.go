package mysql

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/cofferdb/coffer"
)

// login is how a client gets into the server.
type login struct {
	user, password string
	socket         string // absolute; wins over host and port
	host           string
	port           int
}

const opCredentials = "read the credentials file"

// readLogin joins what the instance's Conn says with what its credentials file
// holds. The file must be private.
func readLogin(c coffer.Conn) (login, error) {
	l := login{socket: c.Socket, host: c.Host, port: c.Port}
	if c.CredentialsFile != "" {
		values, err := readOptions(c.CredentialsFile)
		if err != nil {
			return l, err
		}
		l.user, l.password = values["user"], values["password"]
		if l.socket == "" && l.host == "" {
			l.socket, l.host = values["socket"], values["host"]
		}
		if n, err := strconv.Atoi(values["port"]); err == nil && l.port == 0 {
			l.port = n
		}
	}
	if l.user == "" {
		l.user = ownName()
	}
	switch {
	case l.socket != "" && !strings.HasPrefix(l.socket, "/"):
		return l, coffer.E(coffer.KindInvalid, opCredentials, "the socket's path %q is not absolute", l.socket)
	case l.socket == "" && l.host == "":
		return l, coffer.E(coffer.KindInvalid, opCredentials, "neither a socket nor a host is given").
			WithHint("register the instance with its socket")
	case l.port == 0:
		l.port = 3306
	}
	return l, nil
}

// ownName is whom a client is taken for that names no user, as MariaDB's own
// clients do it: with the server's unix_socket plugin root needs no password.
func ownName() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		return u.Username
	}
	return ""
}

// readOptions reads the groups for clients of an option file.
func readOptions(path string) (map[string]string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, coffer.E(coffer.KindUnprocessable, opCredentials, "%w", err).
			WithHint("the file must be on the agent's machine and readable for the agent, with user and password in its [client] group")
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return nil, coffer.Wrap(opCredentials, err)
	case !fi.Mode().IsRegular():
		// The tool reads its option file twice: from a pipe it would silently use none.
		return nil, coffer.E(coffer.KindInvalid, opCredentials, "%s is no regular file", path)
	case fi.Mode().Perm()&0o077 != 0:
		return nil, coffer.E(coffer.KindInvalid, opCredentials, "%s can be read by others (mode %04o)", path, fi.Mode().Perm()).
			WithHint("chmod 600 %s", path)
	}
	return parseOptions(io.LimitReader(f, 1<<20))
}

func parseOptions(r io.Reader) (map[string]string, error) {
	values := make(map[string]string)
	ours := false
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '!':
			return nil, coffer.E(coffer.KindInvalid, opCredentials, "line %d: included files are not followed", n).
				WithHint("write user and password into the file itself")
		case line[0] == '[':
			group, _, _ := strings.Cut(line[1:], "]")
			ours = group == "client" || group == "client-mariadb" || group == "mariadb-client" || group == "mariadb-backup" || group == "xtrabackup"
		case ours:
			key, value, _ := strings.Cut(line, "=")
			key = strings.ReplaceAll(strings.TrimSpace(key), "_", "-")
			values[key] = unquote(strings.TrimSpace(stripComment(value)))
		}
	}
	return values, coffer.Wrap(opCredentials, lines.Err())
}

// stripComment takes away what follows a # outside of quotes.
func stripComment(s string) string {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote:
			quote = 0
		case c == '#' && quote == 0:
			return s[:i]
		}
	}
	return s
}

var (
	unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r", `\b`, "\b", `\s`, " ", `\"`, `"`, `\'`, `'`)
	escape   = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`, "\b", `\b`, `"`, `\"`)
)

func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		s = s[1 : n-1]
	}
	return unescape.Replace(s)
}

// options is the text of the private option file that a tool is started with; the
// backup tool's own group is the last.
func (l login) options(dataDir, group string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[client]\nuser=\"%s\"\npassword=\"%s\"\n", escape.Replace(l.user), escape.Replace(l.password))
	if l.socket != "" {
		fmt.Fprintf(&b, "socket=\"%s\"\n", escape.Replace(l.socket))
	} else {
		fmt.Fprintf(&b, "protocol=tcp\nhost=\"%s\"\nport=%d\n", escape.Replace(l.host), l.port)
	}
	fmt.Fprintf(&b, "[%s]\ndatadir=\"%s\"\n", group, escape.Replace(dataDir))
	return b.String()
}
