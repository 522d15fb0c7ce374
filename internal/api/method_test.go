package api_test

import (
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/trove"
)

// The method of a backup is an administrator's to choose, and a dump never an
// increment.
func TestMethodOfABackup(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.agent(nil, message.LookReply{})
	in, alice, dave, ctx := s.instance(), s.client("alice"), s.client("dave"), t.Context()
	want := trove.BackupCreate{Name: "b1", Instance: string(in.ID), Method: "MySQLDump"}
	_, err := alice.CreateBackup(ctx, want, "")
	wantKind(t, "no administrator chooses", err, coffer.KindForbidden)
	odd := want
	odd.Method = "MongoDump"
	_, err = dave.CreateBackup(ctx, odd, "")
	wantKind(t, "a method that there is not", err, coffer.KindInvalid)
	odd.Method, odd.Incremental = "mysqldump", 1
	_, err = dave.CreateBackup(ctx, odd, "")
	wantKind(t, "an increment by a dump", err, coffer.KindInvalid)
	b := must[trove.Backup](t)(dave.CreateBackup(ctx, want, ""))
	j, err := s.db.JobByID(ctx, coffer.JobID(b.ID))
	if err != nil || j.Spec.Method != coffer.MySQLDump {
		t.Errorf("the job's method is %q, %v", j.Spec.Method, err)
	}
}
