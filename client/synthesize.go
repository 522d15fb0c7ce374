package client

import (
	"context"
	"net/http"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// Synthesize starts a job that joins a backup and all that it stands on into a new
// full backup, which has the job's id. The database is not asked; the chain stays.
func (c *Client) Synthesize(ctx context.Context, b coffer.BackupID, s rest.Synthesize) (rest.Started, error) {
	var out rest.Started
	err := c.do(ctx, "join the chain", call{
		method: http.MethodPost, path: "/backups" + id(b) + "/synthesize", own: true, body: rest.SynthesizeBody{Synthesize: s},
	}, &out)
	return out, err
}
