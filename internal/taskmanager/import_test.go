package taskmanager

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/trovestore"
	"github.com/cofferdb/coffer/xbstream"
)

// TroveSource makes the desk's one store the container of every location.
func (d *desk) TroveSource(context.Context, string, trovestore.Location) (trovestore.Source, error) {
	return trovestore.Source{Store: tagged{d.st}}, nil
}

// tagged is a store whose objects have the ETags of Swift, which are in their metadata.
type tagged struct{ store.Full }

func (s tagged) Stat(ctx context.Context, name string) (store.Object, error) {
	o, err := s.Full.Stat(ctx, name)
	o.ETag = o.Meta["etag"]
	return o, err
}

const account = "https://swift/v1/AUTH_p/c/"

// laid is an object as Trove would have laid it down; its location.
func (d *desk) laid(from, to int, meta store.Meta) string {
	d.t.Helper()
	kind := "incremental"
	if from == 0 {
		kind = "full-backuped"
	}
	return d.laidText(fmt.Sprintf("backup_type = %s\nfrom_lsn = %d\nto_lsn = %d\nlast_lsn = %d\n", kind, from, to, to), "", meta)
}

func (d *desk) laidText(checkpoints, info string, meta store.Meta) string {
	d.t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := xbstream.NewWriter(z)
	if info != "" {
		d.must(w.WriteFile("xtrabackup_info", 0, []byte(info)))
	}
	d.must(w.WriteFile("xtrabackup_checkpoints", 0, []byte(checkpoints)))
	d.must(w.Close())
	d.must(z.Close())
	sum := md5.Sum(b.Bytes())
	all := store.Meta{"etag": hex.EncodeToString(sum[:])}
	for k, v := range meta {
		all[k] = v
	}
	name := coffer.NewUUID() + ".xbstream.gz"
	_, err := d.st.Put(d.t.Context(), name, store.Bytes(b.Bytes()), all)
	d.must(err)
	return account + name
}

// asked makes the import of a location.
func (d *desk) asked(location string, parent coffer.BackupID) coffer.BackupID {
	d.t.Helper()
	b, _, err := d.db.CreateImport(d.t.Context(), records.NewImport{
		Project: project, Name: "b", Parent: parent, Location: location, Store: "s", Container: "c", Quota: -1,
	})
	d.must(err)
	return b.ID
}

// brings runs an import once, as ringing does.
func (d *desk) brings(id coffer.BackupID) error {
	d.t.Helper()
	d.tm.init()
	d.tm.Trove = d
	j, err := d.db.Claim(d.t.Context(), coffer.JobID(id), d.tm.runner(), time.Now())
	d.must(err)
	d.tm.run(d.t.Context(), j, d.tm.bringIn)
	b, err := d.db.BackupByID(d.t.Context(), id)
	d.must(err)
	if b.State == coffer.Failed {
		j, err = d.db.JobByID(d.t.Context(), coffer.JobID(id))
		d.must(err)
		return coffer.E(j.ErrKind, "", "%s", b.Error)
	}
	return nil
}

// TestImportChain: of an increment's location alone, what it stands on is found by
// metadata and brought in first; each is read and held to what it stands on.
func TestImportChain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	full := d.laid(0, 100, nil)
	inc := d.laid(100, 200, store.Meta{"parent_location": full})
	id := d.asked(inc, "")
	d.must(d.brings(id))
	due, err := d.db.Due(t.Context(), time.Now(), 10)
	d.must(err)
	if len(due) != 1 || due[0].Kind != coffer.JobImport || coffer.BackupID(due[0].ID) == id {
		t.Fatalf("due are %+v", due)
	}
	d.must(d.brings(coffer.BackupID(due[0].ID)))
	d.must(d.brings(id))
	chain, err := d.db.Chain(t.Context(), project, id)
	d.must(err)
	if len(chain) != 2 || chain[0].Location != full || chain[0].Refs != 1 || chain[1].Depth != 1 || chain[1].Position.From != 100 ||
		chain[1].State != coffer.Completed || len(chain[1].Manifest) != 64 || chain[1].Verified.At.IsZero() {
		t.Errorf("the chain is %+v", chain)
	}
	// Deleted, its objects stay.
	j, err := d.db.CreateJob(t.Context(), records.NewJob{Kind: coffer.JobDelete, Project: project, Backup: id})
	d.must(err)
	j, err = d.db.Claim(t.Context(), j.ID, d.tm.runner(), time.Now())
	d.must(err)
	before := len(d.names())
	d.must(d.tm.delete(t.Context(), j, &progress{}))
	if after := len(d.names()); after != before {
		t.Errorf("of %d objects %d are left", before, after)
	}
	said, err := d.db.Events(t.Context(), project, j.ID, 0, 10)
	if err != nil || len(said) != 1 || said[0].Code != "kept" {
		t.Errorf("the delete says %+v (%v)", said, err)
	}
}

// TestImportRefused: what is no chain, or lies outside the account, is never good.
func TestImportRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	full := d.laid(0, 100, nil)
	fid := d.asked(full, "")
	d.must(d.brings(fid))
	elsewhere := strings.Replace(full, "AUTH_p", "AUTH_other", 1)
	mysql := d.laidText("backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 9\nlast_lsn = 9\n", "tool_name = xtrabackup\nserver_version = 8.0.36\n", nil)
	for name, c := range map[string]struct {
		location string
		parent   coffer.BackupID
		want     coffer.Kind
	}{
		"a gap":                        {d.laid(150, 200, store.Meta{"parent_location": full}), "", coffer.KindCorrupt},
		"nobody knows onto what":       {d.laid(100, 200, nil), "", coffer.KindInvalid},
		"somebody knows":               {d.laid(100, 200, nil), fid, ""},
		"both know":                    {d.laid(100, 200, store.Meta{"parent_location": full}), fid, ""},
		"they do not agree":            {d.laid(100, 200, store.Meta{"parent_location": account + "other.xbstream.gz"}), fid, coffer.KindCorrupt},
		"the parent lies elsewhere":    {d.laid(100, 200, store.Meta{"parent_location": elsewhere}), "", coffer.KindForbidden},
		"the parent is no location":    {d.laid(100, 200, store.Meta{"parent_location": "file:///etc/passwd"}), "", coffer.KindInvalid},
		"nothing is there":             {account + coffer.NewUUID() + ".xbstream.gz", "", coffer.KindNotFound},
		"another database":             {mysql, "", coffer.KindUnsupported},
		"a full that has a parent":     {d.laid(0, 300, nil), fid, ""},
		"the parent is not Trove's":    {d.laid(100, 200, nil), d.claimed().Backup, coffer.KindInvalid},
		"the parent was never there":   {d.laid(100, 200, nil), "nobody", coffer.KindNotFound},
		"a checksum that does not fit": {d.laid(0, 100, store.Meta{"etag": "0"}), "", coffer.KindCorrupt},
	} {
		err := d.brings(d.asked(c.location, c.parent))
		if coffer.KindOf(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestImportCircle: two objects that name each other as their parents end FAILED.
func TestImportCircle(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	defer d.close()
	second := account + coffer.NewUUID() + ".xbstream.gz"
	first := d.laid(100, 200, store.Meta{"parent_location": second})
	raw := d.laid(100, 200, store.Meta{"parent_location": first})
	o, err := d.st.Open(t.Context(), strings.TrimPrefix(raw, account), 0, -1)
	d.must(err)
	var b bytes.Buffer
	_, err = b.ReadFrom(o)
	d.must(err)
	o.Close()
	_, err = d.st.Put(t.Context(), strings.TrimPrefix(second, account), store.Bytes(b.Bytes()), store.Meta{"parent_location": first})
	d.must(err)
	id := d.asked(first, "")
	d.must(d.brings(id))
	due, err := d.db.Due(t.Context(), time.Now(), 10)
	d.must(err)
	if len(due) != 1 {
		t.Fatalf("due are %+v", due)
	}
	if err := d.brings(coffer.BackupID(due[0].ID)); !coffer.IsKind(err, coffer.KindCorrupt) {
		t.Errorf("the second: %v", err)
	}
	if err := d.brings(id); !coffer.IsKind(err, coffer.KindConflict) {
		t.Errorf("the first: %v", err)
	}
}
