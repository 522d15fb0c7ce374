package s3_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/s3"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// TestTwoProjectsOneName: bucket names are global on this radosgw, and both
// projects are configured alike. Both back up, at the same time; each finds its
// own again, and neither reaches the other's.
func TestTwoProjectsOneName(t *testing.T) {
	t.Parallel()
	r := rgw.For(t)
	opts := map[string]s3.Options{}
	for _, p := range []string{"farma", "farmb"} {
		opts[p] = s3.Options{Endpoint: r.URL, CredentialsFile: keysOf(t, r, p), Project: p, Create: true}
	}
	stores := map[string]*s3.Store{"farma": open(t, opts["farma"]), "farmb": open(t, opts["farmb"])}
	var wg sync.WaitGroup
	for p, s := range stores {
		wg.Go(func() {
			if _, err := s.Put(t.Context(), "b.manifest.json", store.Bytes([]byte("of "+p)), nil); err != nil {
				t.Errorf("%s: %v", p, err)
			}
		})
	}
	wg.Wait()
	replaced := 0
	for p := range stores {
		again := open(t, opts[p]) // another process
		bucket, other, err := again.Where(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if other {
			replaced++
			if want := s3.DefaultBucket + "-" + p; bucket != want {
				t.Errorf("%s uses %s, want %s", p, bucket, want)
			}
		}
		o, err := again.Stat(t.Context(), "b.manifest.json")
		if err != nil || o.Size != int64(len("of "+p)) {
			t.Errorf("%s finds %+v, %v", p, o, err)
		}
	}
	if replaced != 1 {
		t.Errorf("%d of 2 projects use another bucket, want 1", replaced)
	}
	trespass(t, r.URL, opts, stores)
}

// trespass tries each project's keys on the other's bucket.
func trespass(t *testing.T, url string, opts map[string]s3.Options, stores map[string]*s3.Store) {
	for mine, theirs := range map[string]string{"farma": "farmb", "farmb": "farma"} {
		bucket, _, err := stores[theirs].Where(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, s3.Options{Endpoint: url, CredentialsFile: opts[mine].CredentialsFile, Bucket: bucket, Create: true})
		_, put := s.Put(t.Context(), "x", store.Bytes([]byte("x")), nil)
		_, stat := s.Stat(t.Context(), "b.manifest.json")
		_, read := s.Open(t.Context(), "b.manifest.json", 0, -1)
		var list error
		for _, err := range s.List(t.Context(), "") {
			list = err
		}
		del := s.Delete(t.Context(), "b.manifest.json")
		for what, err := range map[string]error{"Put": put, "Stat": stat, "Open": read, "List": list, "Delete": del} {
			if !coffer.IsKind(err, coffer.KindForbidden) || coffer.HintOf(err) == "" {
				t.Errorf("%s of %s with the keys of %s: %v (%s)", what, bucket, mine, err, coffer.KindOf(err))
			}
		}
		if _, err := stores[theirs].Stat(t.Context(), "b.manifest.json"); err != nil {
			t.Errorf("%s lost its object: %v", theirs, err)
		}
	}
}

// TestOneBucketForAll: with the operator's keys a project is a part of the key,
// whatever its users call their containers.
func TestOneBucketForAll(t *testing.T) {
	t.Parallel()
	s := places(t, "operator", "one-for-all")(t)
	storetest.RunProjects(t, s, "one-for-all")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	r := rgw.For(t)
	good := s3.Options{Endpoint: r.URL, CredentialsFile: keysOf(t, r, "refused"), Bucket: "refused", Create: true}
	for name, c := range map[string]struct {
		change func(*s3.Options)
		want   coffer.Kind
		hint   string
	}{
		"unknown key":    {func(o *s3.Options) { o.CredentialsFile = keyFile(t, "AKNOBODY", "x") }, coffer.KindUnauthorized, "credentials"},
		"wrong secret":   {func(o *s3.Options) { o.CredentialsFile = keyFile(t, "AKREFUSED", "hidden-word") }, coffer.KindUnauthorized, "credentials"},
		"no such bucket": {func(o *s3.Options) { o.Bucket, o.Create = "refused-none", false }, coffer.KindInvalid, "make the bucket"},
		"nobody there":   {func(o *s3.Options) { o.Endpoint = "http://127.0.0.1:1" }, coffer.KindUnavailable, "reached"},
	} {
		o := good
		c.change(&o)
		_, err := open(t, o).Put(t.Context(), "x", store.Bytes([]byte("x")), nil)
		if !coffer.IsKind(err, c.want) || !strings.Contains(coffer.HintOf(err), c.hint) {
			t.Errorf("%s: %v (%s), hint %q", name, err, coffer.KindOf(err), coffer.HintOf(err))
		}
		if err != nil && strings.Contains(err.Error(), "hidden-word") {
			t.Errorf("%s: the secret is in %q", name, err)
		}
	}
	for name, change := range map[string]func(*s3.Options){
		"underscore":   func(o *s3.Options) { o.Bucket = coffer.DefaultContainer },
		"bad fallback": func(o *s3.Options) { o.Project = "a_b" },
		"bad prefix":   func(o *s3.Options) { o.Prefix = "../" },
		"open prefix":  func(o *s3.Options) { o.Prefix = "x" },
		"a path":       func(o *s3.Options) { o.Endpoint += "/bucket" },
		"plain text":   func(o *s3.Options) { o.Endpoint = "http://s3.example" },
		"no keys":      func(o *s3.Options) { o.CredentialsFile = "" },
		"no profile":   func(o *s3.Options) { o.Profile = "other" },
	} {
		o := good
		change(&o)
		if _, err := s3.New(o); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIn: another bucket by the same keys is exactly the one that was named, or for a
// project that has to share names its own.
func TestIn(t *testing.T) {
	t.Parallel()
	r := rgw.For(t)
	base := map[string]*s3.Store{}
	for _, p := range []string{"ina", "inb"} {
		base[p] = open(t, s3.Options{Endpoint: r.URL, CredentialsFile: keysOf(t, r, p), Create: true})
	}
	in := func(p, bucket string, project coffer.ProjectID) *s3.Store {
		s, err := base[p].In(bucket, project)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if used, _, err := in("ina", "in-common", "").Where(t.Context()); used != "in-common" || err != nil {
		t.Fatalf("%s, %v", used, err)
	}
	if _, err := in("inb", "in-common", "").Put(t.Context(), "x", store.Bytes(nil), nil); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("another project's bucket: %v", err)
	}
	if used, other, err := in("inb", "in-common", "INB").Where(t.Context()); used != "in-common-inb" || !other || err != nil {
		t.Errorf("%s, %v, %v", used, other, err)
	}
	if names, err := base["inb"].Buckets(t.Context()); err != nil || len(names) != 1 || names[0] != "in-common-inb" {
		t.Errorf("the buckets are %q, %v", names, err)
	}
	if _, err := in("inb", "in-common", coffer.ProjectID(strings.Repeat("p", 60))).Put(t.Context(), "x", store.Bytes(nil), nil); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("a bucket of which no other name can be made: %v", err)
	}
	for _, name := range []string{"", "a_b", "a/b", "../in-common", "In-Common"} {
		if _, err := base["inb"].In(name, ""); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
