// Package catalogue makes the records' rows anew from what lies in a store: after
// the records were lost, or older ones were put back.
//
// The store is listed once. Of every backup that has a manifest the manifest is
// read and its tombstone looked for: a dead one gets no row. The volumes are looked
// at as well, so a row is COMPLETED only for what is all there, and FAILED, with
// the reason, for what is not. The verdict is that of the newest statement.
//
// Walls stand: a backup is the project's under whose prefix it lies, and one whose
// manifest names another project is reported and gets no row. A row that exists is
// never changed, so a rebuild can be repeated, also beside a running control plane.
// Nothing in the store is written.
package catalogue

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/archive"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/store"
)

// Records is what a rebuild needs of the metadata.
type Records interface {
	Recover(ctx context.Context, all []coffer.Backup) (known int, err error)
	PutKey(ctx context.Context, id coffer.KeyID, gen int, wrapped []byte) error
	Key(ctx context.Context, id coffer.KeyID) (gen int, wrapped []byte, err error)
}

// Options say what is rebuilt, and into what.
type Options struct {
	Name    string                     // of the store, in the configuration
	Store   store.Full                 // opened
	URL     func(object string) string // an object's address
	Records Records
	Project coffer.ProjectID // only of this one; "" is all
	Retry   retry.Policy     // of each look; the zero value is ten minutes of patience
}

// Report is what was found.
type Report struct {
	Manifests int      `json:"manifests"`
	Made      int      `json:"made"`   // rows, the FAILED ones included
	Failed    int      `json:"failed"` // of those: something of the backup is missing
	Known     int      `json:"known"`  // rows that were there
	Dead      int      `json:"dead"`   // backups with a tombstone
	Held      int      `json:"held"`   // backups that a statement forbids to delete
	Keys      int      `json:"keys"`   // wrapped data keys that the records lacked
	Problems  []string `json:"problems"`
}

const (
	lookers = 8   // manifests read at once
	batch   = 200 // rows of one transaction
)

// Rebuild makes the rows. An error means that the store or the records did not
// answer: what was made stays, and the rebuild can be run again.
func Rebuild(ctx context.Context, o Options) (Report, error) {
	const op = "rebuild the catalogue"
	found, err := list(ctx, o)
	if err != nil {
		return Report{}, coffer.Wrap(op, err)
	}
	b := &builder{o: o, rep: Report{Problems: append([]string{}, found.problems...)}}
	if err := b.keys(ctx, found.keys); err != nil {
		return b.rep, coffer.Wrap(op, err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for _, f := range found.order {
		if f.manifest {
			g.Go(func() error { return b.one(gctx, f) })
		}
	}
	if err := g.Wait(); err != nil {
		return b.rep, coffer.Wrap(op, err)
	}
	return b.rep, coffer.Wrap(op, b.flush(ctx, 1))
}

// builder is one rebuild.
type builder struct {
	o Options

	mu   sync.Mutex
	rep  Report
	rows []coffer.Backup
}

// keys puts wrapped data keys into the records that lack them: without one no
// encrypted backup can be restored.
func (b *builder) keys(ctx context.Context, found []keyFile) error {
	for _, k := range found {
		gen, _, err := b.o.Records.Key(ctx, k.id)
		if err == nil && gen >= k.gen {
			continue
		}
		if err != nil && !coffer.IsKind(err, coffer.KindNotFound) {
			return err
		}
		wrapped, err := archive.ReadKey(ctx, b.place(k.where), k.rel)
		if err != nil {
			return err
		}
		if err := b.o.Records.PutKey(ctx, k.id, k.gen, wrapped); err != nil {
			return err
		}
		b.rep.Keys++
	}
	return nil
}

func (b *builder) place(w where) archive.Place {
	return archive.Place{Store: b.o.Store, Prefix: coffer.Prefix(w.project, w.container)}
}

// one looks at one backup.
func (b *builder) one(ctx context.Context, f *found) error {
	p := b.place(f.where)
	a, err := archive.Open(ctx, p, f.id, archive.Want{Retry: b.o.Retry})
	switch {
	case coffer.IsKind(err, coffer.KindNotFound): // the tombstone, or deleted since the listing
		b.count(func(r *Report) { r.Manifests++; r.Dead++ })
		return nil
	case coffer.IsKind(err, coffer.KindCorrupt, coffer.KindUnsupported):
		b.count(func(r *Report) { r.Manifests++; r.Problems = append(r.Problems, err.Error()) })
		return nil
	case err != nil:
		return err
	}
	defer a.Close()
	m := a.Manifest()
	if m.Project != f.project {
		b.count(func(r *Report) {
			r.Manifests++
			r.Problems = append(r.Problems, "backup "+string(f.id)+" lies under project "+string(f.project)+" and is of project "+string(m.Project))
		})
		return nil
	}
	row := b.row(f, m, a.ManifestSHA256())
	if err := a.Check(ctx); coffer.IsKind(err, coffer.KindCorrupt) {
		row.State, row.Error, row.Hint = coffer.Failed, err.Error(), coffer.HintOf(err)
	} else if err != nil {
		return err
	}
	held, err := b.statements(ctx, p, f, &row)
	if err != nil {
		return err
	}
	b.count(func(r *Report) {
		r.Manifests++
		if held {
			r.Held++
		}
		b.rows = append(b.rows, row)
	})
	return b.flush(ctx, batch)
}

func (b *builder) count(f func(*Report)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.rep)
}

// row is what a manifest says of its backup.
func (b *builder) row(f *found, m archive.Manifest, sum string) coffer.Backup {
	out := coffer.Backup{
		ID: m.Backup, Project: m.Project, Instance: m.Instance, Name: "recovered " + m.Started.UTC().Format("2006-01-02 15:04"),
		State: coffer.Completed, Root: m.Root, Depth: m.Depth, Type: "full", Method: m.Method, Datastore: m.Datastore,
		Store: b.o.Name, Container: f.container, Manifest: sum, Checksum: sum[:32], Key: m.Key, Position: m.Position, Sizes: m.Sizes,
		Created: m.Started, Updated: m.Finished, Ended: m.Finished,
	}
	if m.Parent != nil {
		out.Parent, out.Type = m.Parent.ID, "incremental"
	}
	if len(m.Volumes) > 0 {
		out.Location = b.o.URL(coffer.Prefix(f.project, f.container) + m.Volumes[0].Name)
	}
	return out
}

// statements puts the newest verdict into the row, and says whether the backup is
// held. A statement that cannot be read may be a hold, so it counts as one.
func (b *builder) statements(ctx context.Context, p archive.Place, f *found, row *coffer.Backup) (held bool, err error) {
	var holdAt, releaseAt time.Time
	for _, rel := range f.statements {
		s, err := archive.ReadStatement(ctx, p, f.id, rel)
		if coffer.IsKind(err, coffer.KindCorrupt) {
			b.count(func(r *Report) { r.Problems = append(r.Problems, err.Error()) })
			held = true
			continue
		}
		if err != nil {
			return false, err
		}
		switch s.Kind {
		case archive.StatementVerified:
			var v coffer.Verdict
			if json.Unmarshal(s.Body, &v) == nil && v.At.After(row.Verified.At) {
				row.Verified = v
			}
		case archive.StatementHold:
			holdAt = later(holdAt, s.At)
		case archive.StatementRelease:
			releaseAt = later(releaseAt, s.At)
		}
	}
	return held || holdAt.After(releaseAt), nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// flush writes the rows that wait, if there are least of them.
func (b *builder) flush(ctx context.Context, least int) error {
	b.mu.Lock()
	rows := b.rows
	if len(rows) < least {
		b.mu.Unlock()
		return nil
	}
	b.rows = nil
	b.mu.Unlock()
	known, err := b.o.Records.Recover(ctx, rows)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range rows {
		if r.State == coffer.Failed {
			failed++
		}
	}
	b.count(func(r *Report) { r.Known += known; r.Made += len(rows) - known; r.Failed += failed })
	return nil
}

// where is a container of a project.
type where struct {
	project   coffer.ProjectID
	container string
}

// found is what a listing shows of one backup.
type found struct {
	where
	id         coffer.BackupID
	manifest   bool
	statements []string
}

// keyFile is a wrapped data key.
type keyFile struct {
	where
	rel string
	id  coffer.KeyID
	gen int
}

// listing is all that a store shows.
type listing struct {
	order    []*found
	keys     []keyFile
	problems []string
}

func list(ctx context.Context, o Options) (listing, error) {
	var l listing
	prefix := ""
	if o.Project != "" {
		if !o.Project.Valid() {
			return l, coffer.E(coffer.KindInvalid, "", "%q is no project id", o.Project)
		}
		prefix = string(o.Project) + "/"
	}
	type key struct {
		where
		id coffer.BackupID
	}
	seen := map[key]*found{}
	strange := map[string]bool{}
	for obj, err := range o.Store.List(ctx, prefix) {
		if err != nil {
			return l, coffer.Wrap("list the store", err)
		}
		w, rel, ok := split(obj.Name)
		if !ok {
			if dir, _, _ := strings.Cut(obj.Name, "/"); !strange[dir] {
				strange[dir] = true
				l.problems = append(l.problems, "not ours, untouched: "+obj.Name)
			}
			continue
		}
		if k, ok := keyOf(w, rel); ok {
			l.keys = append(l.keys, k)
			continue
		}
		id, suffix, ok := archive.Owner(rel)
		if !ok || !archive.IsManifest(suffix) && !archive.IsStatement(suffix) {
			continue
		}
		f := seen[key{w, id}]
		if f == nil {
			f = &found{where: w, id: id}
			seen[key{w, id}] = f
			l.order = append(l.order, f)
		}
		if archive.IsManifest(suffix) {
			f.manifest = true
		} else {
			f.statements = append(f.statements, rel)
		}
	}
	return l, nil
}

// split reads a name as "<project>/<container>/<rest>". Only what [coffer.Prefix]
// makes of the two is one.
func split(name string) (w where, rel string, ok bool) {
	project, rest, _ := strings.Cut(name, "/")
	escaped, rel, ok := strings.Cut(rest, "/")
	container, err := url.PathUnescape(escaped)
	w = where{coffer.ProjectID(project), container}
	return w, rel, ok && err == nil && w.project.Valid() && coffer.Prefix(w.project, container) == project+"/"+escaped+"/"
}

// keyOf reads "keys/<key>.<gen>.age".
func keyOf(w where, rel string) (keyFile, bool) {
	rest, ok := strings.CutPrefix(rel, "keys/")
	rest, age := strings.CutSuffix(rest, ".age")
	id, gen, dot := strings.Cut(rest, ".")
	n, err := strconv.Atoi(gen)
	return keyFile{where: w, rel: rel, id: coffer.KeyID(id), gen: n}, ok && age && dot && err == nil && coffer.IsUUID(id)
}
