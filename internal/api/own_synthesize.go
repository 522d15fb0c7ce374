package api

import (
	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/rest"
)

// backupSynthesize starts a job that joins a backup's chain into a new full, in the
// store that the backup is in. The job has the new backup's id.
func (a *api) backupSynthesize(r request) (reply, error) {
	const op = "read the request"
	var in rest.SynthesizeBody
	if r.ContentLength != 0 {
		if err := ownBody(r.Request, &in); err != nil {
			return reply{}, err
		}
	}
	key := r.Header.Get("Idempotency-Key")
	if len(in.Synthesize.Name) > 255 || len(key) > maxKey {
		return reply{}, coffer.E(coffer.KindInvalid, op, "the name or the Idempotency-Key is longer than 255 bytes")
	}
	b, err := a.backup(r, r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	made, err := a.Records.CreateSynthesis(r.Context(), records.NewSynthesis{
		Project: b.Project, Backup: b.ID, Name: in.Synthesize.Name, Key: key, Quota: a.Quota, Now: a.Now(),
	})
	if err != nil {
		return reply{}, err
	}
	j, err := a.Records.Job(r.Context(), made.Project, coffer.JobID(made.ID))
	if err != nil {
		return reply{}, err
	}
	a.ring(r, j.ID)
	return started(j), nil
}
