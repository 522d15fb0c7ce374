package mysql

import (
	"context"
	"regexp"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

// globalGrant is a line of SHOW GRANTS that holds on everything.
var globalGrant = regexp.MustCompile(`(?i)^GRANT (.*) ON \*\.\* TO `)

// checkGrants sees that the account may do what the tool will do.
func (c *client) checkGrants(ctx context.Context, l *sight) error {
	held, err := c.grants(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, g := range l.dialect.grants {
		if !held["ALL PRIVILEGES"] && !held[g.now] && (g.before == "" || !held[g.before]) {
			missing = append(missing, g.now)
		}
	}
	if len(missing) > 0 {
		list := strings.Join(missing, ", ")
		return coffer.E(coffer.KindUnprocessable, "check the account's rights", "%s lacks %s on *.*", c.login.user, list).
			WithHint("GRANT %s ON *.* TO the account that the credentials file names", list)
	}
	if !l.dialect.percona && l.dialect.method != engine.MySQLDump && !held["ALL PRIVILEGES"] && !held["SUPER"] {
		l.warn("without SUPER the tool cannot ask for a checkpoint: increments of a quiet server are larger than they need to be")
	}
	return nil
}

func (c *client) grants(ctx context.Context) (map[string]bool, error) {
	lines, err := c.texts(ctx, `SHOW GRANTS`)
	held := make(map[string]bool)
	for _, line := range lines {
		m := globalGrant.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for p := range strings.SplitSeq(m[1], ",") {
			held[strings.ToUpper(strings.TrimSpace(p))] = true
		}
	}
	return held, err
}
