package api_test

import (
	"context"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/api"
	"github.com/cofferdb/coffer/internal/message"
	"github.com/cofferdb/coffer/trove"
)

// shelves are containers of which one name is another project's.
type shelves struct {
	own   bool
	err   error
	asked []string
}

func (s *shelves) Own(string) bool { return s.own }

func (s *shelves) Choose(_ context.Context, store string, p coffer.ProjectID, in coffer.InstanceID, asked string) (used, wanted string, err error) {
	s.asked = append(s.asked, asked)
	switch asked {
	case "":
		return "of-" + string(in), "of-" + string(in), s.err
	case "theirs":
		return "theirs_" + string(p), asked, s.err
	}
	return asked, asked, s.err
}

// Where containers are the projects' own, the row has the one that is used, from the
// start, and the job says which one was wanted in its place. What stands in the way is
// said before there is a row.
func TestOwnContainers(t *testing.T) {
	t.Parallel()
	place := &shelves{own: true}
	s := newService(t, func(c *api.Config) { c.Placer, c.Quota = place, -1 })
	s.agent(nil, message.LookReply{})
	alice, ctx := s.client("alice"), t.Context()
	made := func(container, key, want, wanted string) {
		t.Helper()
		in := s.instance()
		if want == "" {
			want = "of-" + string(in.ID)
		}
		b := must[trove.Backup](t)(alice.CreateBackup(ctx, trove.BackupCreate{Name: "b", Instance: string(in.ID), SwiftContainer: container}, key))
		row, err := s.db.BackupByID(ctx, coffer.BackupID(b.ID))
		if err != nil || row.Container != want {
			t.Errorf("%q: the row has %q, %v; want %q", container, row.Container, err, want)
		}
		j, err := s.db.JobByID(ctx, coffer.JobID(b.ID))
		if err != nil || j.Spec.Wanted != wanted {
			t.Errorf("%q: the job says %q, %v; want %q", container, j.Spec.Wanted, err, wanted)
		}
	}
	made("", "", "", "")
	made("", "a-key", "", "")
	made("mine", "", "mine", "")
	made("theirs", "", "theirs_"+string(projA), "theirs")
	if err := s.db.PutStrategy(ctx, coffer.Strategy{Project: projA, Container: "theirs"}); err != nil {
		t.Fatal(err)
	}
	made("", "", "theirs_"+string(projA), "theirs")
	for _, kind := range []coffer.Kind{coffer.KindInvalid, coffer.KindForbidden, coffer.KindUnavailable} {
		place.err = coffer.E(kind, "", "no credentials").WithHint("make some")
		_, err := alice.CreateBackup(ctx, trove.BackupCreate{Name: "b", Instance: string(s.instance().ID)}, "")
		wantKind(t, "an account that cannot be used", err, kind)
	}
	all, _, err := alice.Backups(ctx, client.BackupQuery{})
	if err != nil || len(all) != 5 {
		t.Errorf("%d backups, want 5; %v", len(all), err)
	}
}

// The default container is a template also where containers are the operator's.
func TestContainerTemplate(t *testing.T) {
	t.Parallel()
	place := &shelves{}
	s := newService(t, func(c *api.Config) { c.Placer, c.DefaultContainer = place, "{project}.{instance}" })
	s.agent(nil, message.LookReply{})
	for _, key := range []string{"", "a-key"} {
		in := s.instance()
		b := must[trove.Backup](t)(s.client("alice").CreateBackup(t.Context(), trove.BackupCreate{Name: "b", Instance: string(in.ID)}, key))
		row, err := s.db.BackupByID(t.Context(), coffer.BackupID(b.ID))
		if want := string(projA) + "." + string(in.ID); err != nil || row.Container != want {
			t.Errorf("the row has %q, %v; want %q", row.Container, err, want)
		}
	}
	if len(place.asked) != 0 {
		t.Errorf("asked for %q", place.asked)
	}
}
