package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// Tables is one page of a backup's tables, behind a marker that the page before
// gave; limit 0 is the server's own.
func (c *Client) Tables(ctx context.Context, b coffer.BackupID, after string, limit int) (rest.Tables, error) {
	v := url.Values{}
	set(v, "marker", after)
	setNumber(v, "limit", limit)
	var out rest.Tables
	err := c.do(ctx, "list the backup's tables", call{method: http.MethodGet, path: "/backups" + id(b) + "/tables", own: true, query: v}, &out)
	return out, err
}
