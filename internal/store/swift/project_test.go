package swift_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/storetest"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// TestTwoProjectsOneName: two projects are configured alike and back up at the
// same time. On a radosgw with one name space for all the second one's container
// is another; everywhere else both have the plain name. Neither reaches the
// other's.
func TestTwoProjectsOneName(t *testing.T) {
	t.Parallel()
	f := servers.For(t)
	for _, c := range []struct {
		region   string
		users    [2]string
		projects [2]string
		replaced int
		others   int // the answer to another project's account or container
	}{
		{"RegionOne", [2]string{"alice", "bob"}, [2]string{"farm-a", "farm-b"}, 0, http.StatusForbidden},
		{"rgw", [2]string{"alice", "bob"}, [2]string{"farm-a", "farm-b"}, 1, http.StatusForbidden},
		{"tenants", [2]string{"carol", "dave"}, [2]string{"farm-c", "farm-d"}, 0, http.StatusForbidden},
	} {
		t.Run(c.region, func(t *testing.T) {
			t.Parallel()
			var opts [2]swift.Options
			var wg sync.WaitGroup
			for i := range 2 {
				opts[i] = swift.Options{Auth: password(t, f, c.users[i], c.projects[i], c.region), Project: f.keystone.Projects[c.projects[i]], Create: true}
				s := open(t, opts[i])
				wg.Go(func() { backUp(t, s, "b", "of "+c.projects[i]) })
			}
			wg.Wait()
			replaced := 0
			for i := range 2 {
				again := open(t, opts[i]) // another process
				container, other, err := again.Where(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				want := coffer.DefaultContainer
				if other {
					replaced++
					want += "_" + opts[i].Project
				}
				if container != want {
					t.Errorf("%s uses %s, want %s", c.projects[i], container, want)
				}
				wantText(t, again, "b.xbstream.zst", "of "+c.projects[i])
				opts[i].Container = container
			}
			if replaced != c.replaced {
				t.Errorf("%d of 2 projects use another container, want %d", replaced, c.replaced)
			}
			for i := range 2 {
				trespass(t, rawOf(t, f, opts[i]), rawOf(t, f, opts[1-i]), c.others)
				wantText(t, open(t, opts[1-i]), "b.xbstream.zst", "of "+c.projects[1-i])
			}
		})
	}
}

// trespass uses mine's token in their container.
func trespass(t *testing.T, mine, theirs raw, want int) {
	t.Helper()
	theirs.token = mine.token
	for _, req := range []string{"GET ", "HEAD ", "GET /b.xbstream.zst", "PUT /b.xbstream.zst", "PUT /b_00000000", "DELETE /b.xbstream.zst", "DELETE /b_00000000", "POST /b.xbstream.zst"} {
		method, object, _ := strings.Cut(req, " ")
		if got := theirs.call(method, object, nil, "x").StatusCode; got != want {
			t.Errorf("%s with another project's token: %d, want %d", req, got, want)
		}
	}
}

// backUp writes a large object of two parts.
func backUp(t *testing.T, s store.Full, id, text string) {
	t.Helper()
	u, err := s.Begin(t.Context(), id+".xbstream.zst", store.Meta{"lsn": "42"})
	if err != nil {
		t.Error(err)
		return
	}
	var parts []store.Part
	for i, half := range []string{text[:1], text[1:]} {
		p, err := s.Part(t.Context(), u, i, int64(i), store.Bytes([]byte(half)))
		if err != nil {
			t.Error(err)
			return
		}
		parts = append(parts, p)
	}
	if _, err := s.Complete(t.Context(), u, parts); err != nil {
		t.Error(err)
	}
}

// TestOneContainerForAll: with the operator's login a project is a part of the key,
// whatever its users call their containers.
func TestOneContainerForAll(t *testing.T) {
	t.Parallel()
	f := servers.For(t)
	s := open(t, swift.Options{Auth: version1(t, f.swift), Container: "one-for-all", Create: true})
	storetest.RunProjects(t, s, "one-for-all")
}

// TestIn: another container of the account, by the same login, is exactly the one that
// was named, or for a project that has to share names its own.
func TestIn(t *testing.T) {
	t.Parallel()
	f := servers.For(t)
	opts := func(user, project string) swift.Options {
		return swift.Options{Auth: password(t, f, user, project, "rgw"), Create: true}
	}
	alice, bob := open(t, opts("alice", "farm-a")), open(t, opts("bob", "farm-b"))
	theirs, err := alice.In("in-common", "")
	if err != nil {
		t.Fatal(err)
	}
	if used, _, err := theirs.Where(t.Context()); used != "in-common" || err != nil {
		t.Fatalf("%s, %v", used, err)
	}
	exact, err := bob.In("in-common", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exact.Put(t.Context(), "x", store.Bytes(nil), nil); !coffer.IsKind(err, coffer.KindForbidden) {
		t.Errorf("another project's container: %v", err)
	}
	own, err := bob.In("in-common", "farm")
	if err != nil {
		t.Fatal(err)
	}
	if used, other, err := own.Where(t.Context()); used != "in-common_farm" || !other || err != nil {
		t.Errorf("%s, %v, %v", used, other, err)
	}
	names, err := bob.Containers(t.Context())
	if err != nil || !slices.Contains(names, "in-common_farm") || slices.Contains(names, "in-common") {
		t.Errorf("the account has %q, %v", names, err)
	}
	if at := bob.Address(); at != f.rgw.SwiftURL+"/AUTH_"+f.keystone.Projects["farm-b"] {
		t.Errorf("the account is at %s", at)
	}
	for _, name := range []string{"", "a/b", strings.Repeat("x", 257)} {
		if _, err := bob.In(name, ""); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
