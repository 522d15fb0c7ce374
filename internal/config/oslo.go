package config

import (
	"bufio"
	"io"
	"net/url"
	"strings"
)

// option is one line of a file of oslo.config.
type option struct{ section, key, value string }

// readOslo reads the dialect of ini that oslo.config reads: [DEFAULT] is the
// section of what stands before any, a line that begins with a blank goes on with
// the value before it, and dashes in keys are underlines.
func readOslo(r io.Reader) ([]option, error) {
	var out []option
	section := "DEFAULT"
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		raw := lines.Text()
		line := strings.TrimSpace(raw)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
		case (raw[0] == ' ' || raw[0] == '\t') && len(out) > 0 && out[len(out)-1].section == section:
			out[len(out)-1].value += "\n" + line
		default:
			if i := strings.IndexAny(line, "=:"); i > 0 {
				key := strings.ReplaceAll(strings.TrimSpace(line[:i]), "-", "_")
				out = append(out, option{section, key, unquote(strings.TrimSpace(line[i+1:]))})
			}
		}
	}
	return out, lines.Err()
}

// unquote takes one pair of quotes off, as oslo does.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == s[len(s)-1] && (s[0] == '"' || s[0] == '\'') {
		return s[1 : len(s)-1]
	}
	return s
}

// transport is a transport_url of oslo.messaging.
type transport struct {
	hosts                 []string
	user, password, vhost string
	tls                   bool
}

// parseTransport reads rabbit://user:password@host:port,user:password@host2/vhost.
func parseTransport(s string) (t transport, ok bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme != "rabbit" && scheme != "amqp" && scheme != "kombu" {
		return t, false
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, vhost, _ := strings.Cut(rest, "/")
	if values, err := url.ParseQuery(query); err == nil {
		t.tls = values.Get("ssl") == "1" || strings.EqualFold(values.Get("ssl"), "true")
	}
	t.vhost = vhost
	if v, err := url.PathUnescape(vhost); err == nil {
		t.vhost = v
	}
	if t.vhost == "" {
		t.vhost = "/"
	}
	for h := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse("amqp://" + h)
		if err != nil || u.Host == "" {
			return t, false
		}
		if u.User != nil {
			t.user = u.User.Username()
			t.password, _ = u.User.Password()
		}
		t.hosts = append(t.hosts, u.Host)
	}
	return t, true
}
