package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/accounts"
	"github.com/cofferdb/coffer/internal/store/storetest"
)

// cloud is accounts in memory, each with containers of its own, over one name space
// of containers: a name is whose it was first.
type cloud struct {
	mu       sync.Mutex
	owner    map[string]coffer.ProjectID
	all      map[string]*storetest.Memory // "project/container"
	opened   map[coffer.ProjectID]int
	asked    int // to choose
	changed  time.Time
	projects []coffer.ProjectID // that have credentials
}

func newCloud(projects ...coffer.ProjectID) (*cloud, *accounts.Store) {
	c := &cloud{owner: map[string]coffer.ProjectID{}, all: map[string]*storetest.Memory{}, opened: map[coffer.ProjectID]int{}, projects: projects}
	return c, c.store()
}

func (c *cloud) store() *accounts.Store {
	return accounts.New(accounts.Options{
		Account: func(p coffer.ProjectID) (accounts.Account, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if !slices.Contains(c.projects, p) {
				return nil, coffer.E(coffer.KindInvalid, "", "no credentials")
			}
			c.opened[p]++
			return account{c, p}, nil
		},
		Changed:  func(coffer.ProjectID) time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.changed },
		Projects: func() ([]coffer.ProjectID, error) { return c.projects, nil },
	})
}

type account struct {
	c *cloud
	p coffer.ProjectID
}

func (a account) In(name string) (store.Full, error) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	key := string(a.p) + "/" + name
	if a.c.all[key] == nil {
		a.c.all[key] = storetest.NewMemory()
	}
	return a.c.all[key], nil
}

func (a account) Choose(_ context.Context, wanted string) (string, error) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	a.c.asked++
	if who, taken := a.c.owner[wanted]; taken && who != a.p {
		wanted += "_" + string(a.p)
	}
	a.c.owner[wanted] = a.p
	return wanted, nil
}

func (a account) Containers(context.Context) (names []string, err error) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	for key := range a.c.all {
		if name, ok := strings.CutPrefix(key, string(a.p)+"/"); ok {
			names = append(names, name)
		}
	}
	return append(names, "someone else's", strings.Repeat("x", 250)), nil
}

func (a account) URL(container, name string) string {
	return "mem://" + string(a.p) + "/" + container + "/" + name
}

// put writes an object whose text is its name.
func put(t *testing.T, s store.Store, name string) {
	t.Helper()
	if _, err := s.Put(t.Context(), name, store.Bytes([]byte(name)), nil); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, s store.Store, prefix string) (out []string) {
	t.Helper()
	for o, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o.Name)
	}
	return out
}

// Every name goes to its project's account and container, flat, and comes back whole.
func TestNames(t *testing.T) {
	t.Parallel()
	c, s := newCloud("p1", "p2")
	u, err := s.Begin(t.Context(), "p1/c/b.xbstream", nil)
	if err != nil || u.Name != "p1/c/b.xbstream" {
		t.Fatalf("%+v, %v", u, err)
	}
	for up, err := range s.Stale(t.Context(), "p1/") {
		if err != nil || up.Name != u.Name {
			t.Errorf("stale: %+v, %v", up, err)
		}
	}
	part, err := s.Part(t.Context(), u, 0, 0, store.Bytes([]byte("text")))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := s.Complete(t.Context(), u, []store.Part{part}); err != nil || o.Name != u.Name {
		t.Fatalf("%+v, %v", o, err)
	}
	put(t, s, "p1/c/keys/k.1.age")
	put(t, s, "p2/c/b.xbstream")
	put(t, s, "p2/%2E.p1/x")
	if got := names(t, c.all["p1/c"], ""); !slices.Equal(got, []string{"b.xbstream", "keys/k.1.age"}) {
		t.Errorf("in the container lie %q", got)
	}
	all := []string{"p1/c/b.xbstream", "p1/c/keys/k.1.age", "p2/%2E.p1/x", "p2/c/b.xbstream"}
	for prefix, want := range map[string][]string{
		"": all, "p1/": all[:2], "p1/c/k": all[1:2], "p2/c/": all[3:], "p2": all[2:], "p": all, "q": nil,
	} {
		if d := cmp.Diff(want, names(t, s, prefix)); d != "" {
			t.Errorf("below %q (-want +got):\n%s", prefix, d)
		}
	}
	for _, err := range s.List(t.Context(), "p3/") {
		if !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("a project without credentials is listed: %v", err)
		}
	}
	if got := s.URL("p2/c/b.xbstream"); got != "mem://p2/c/b.xbstream" {
		t.Errorf("its address is %s", got)
	}
	if err := s.Delete(t.Context(), "p1/c/b.xbstream"); err != nil {
		t.Error(err)
	}
	if got := names(t, s, "p1/c/b"); got != nil {
		t.Errorf("left: %q", got)
	}
}

// What is no name below a project's container reaches no account.
func TestWalls(t *testing.T) {
	t.Parallel()
	c, s := newCloud("p1", "p2")
	put(t, s, "p2/c/secret")
	for _, name := range []string{
		"x", "p1/x", "p1//x", "p1/../p2/c/secret", "../p2/c/secret", "p1/./x", "/p2/c/secret", "p1/..%2Fp2/c/secret",
		"p1/%2e.%2fp2%2fc/secret", "p3/c/x", ".p2/c/x", "p1/c%2F..%2F../x", "p1/%63/x", "p1/c%00/x", strings.Repeat("p", 65) + "/c/x",
	} {
		_, put := s.Put(t.Context(), name, store.Bytes([]byte("mine")), nil)
		_, stat := s.Stat(t.Context(), name)
		_, read := s.Open(t.Context(), name, 0, -1)
		_, begin := s.Begin(t.Context(), name, nil)
		u := store.Upload{Name: name, Token: "t"}
		_, part := s.Part(t.Context(), u, 0, 0, store.Bytes([]byte("x")))
		_, complete := s.Complete(t.Context(), u, nil)
		for what, err := range map[string]error{
			"Put": put, "Stat": stat, "Open": read, "Begin": begin, "Part": part, "Complete": complete,
			"Abort": s.Abort(t.Context(), u), "Delete": s.Delete(t.Context(), name),
		} {
			if !coffer.IsKind(err, coffer.KindInvalid) {
				t.Errorf("%s of %q: %v", what, name, err)
			}
		}
	}
	for key := range c.all {
		if key != "p2/c" {
			t.Errorf("%s was opened", key)
		}
	}
	if got := names(t, s, ""); !slices.Equal(got, []string{"p2/c/secret"}) {
		t.Errorf("there are %q", got)
	}
}

// A container is chosen once, the answer is the same for the rest of this life, and
// names go where they say, whatever would be chosen now.
func TestChoose(t *testing.T) {
	t.Parallel()
	c, s := newCloud("p1", "p2")
	choose := func(s *accounts.Store, p coffer.ProjectID, want string) {
		t.Helper()
		if got, err := s.Choose(t.Context(), p, "c"); err != nil || got != want {
			t.Errorf("%s uses %q, %v; want %q", p, got, err, want)
		}
	}
	for range 3 {
		choose(s, "p1", "c")
		choose(s, "p2", "c_p2")
	}
	if c.asked != 2 {
		t.Errorf("asked %d times, want 2", c.asked)
	}
	put(t, s, "p2/c_p2/old")
	c.owner["c"] = "p2" // the other one has given it up
	again := c.store()
	choose(again, "p2", "c")
	put(t, again, "p2/c/new")
	if d := cmp.Diff([]string{"p2/c/new", "p2/c_p2/old"}, names(t, again, "p2/")); d != "" {
		t.Error(d)
	}
	asked := c.asked
	for _, name := range []string{"", "a/b", "..", "../c", "a\x00", strings.Repeat("x", 201)} {
		if _, err := s.Choose(t.Context(), "p1", name); !coffer.IsKind(err, coffer.KindInvalid) {
			t.Errorf("%q is chosen: %v", name, err)
		}
	}
	if c.asked != asked {
		t.Error("the account was asked for what is no name")
	}
	c.owner[strings.Repeat("x", 199)] = "p2" // p1's would be too long
	if _, err := s.Choose(t.Context(), "p1", strings.Repeat("x", 199)); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a name that is too long with the project's id: %v", err)
	}
	if _, err := s.Choose(t.Context(), "p3", "c"); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("a project without credentials: %v", err)
	}
}

// Credentials that were exchanged are read again, and only then.
func TestChanged(t *testing.T) {
	t.Parallel()
	c, s := newCloud("p1")
	put(t, s, "p1/c/a")
	put(t, s, "p1/d/a")
	if c.opened["p1"] != 1 {
		t.Errorf("opened %d times", c.opened["p1"])
	}
	c.changed = time.Now()
	put(t, s, "p1/c/b")
	if c.opened["p1"] != 2 {
		t.Errorf("opened %d times after a change, want 2", c.opened["p1"])
	}
	c.projects = nil // they were taken away
	c.changed = time.Time{}
	if _, err := s.Stat(t.Context(), "p1/c/a"); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("without credentials: %v", err)
	}
}

// An account that cannot be listed ends a listing of everything with its error.
func TestListFails(t *testing.T) {
	t.Parallel()
	boom := coffer.E(coffer.KindUnavailable, "", "away")
	s := accounts.New(accounts.Options{
		Account:  func(coffer.ProjectID) (accounts.Account, error) { return nil, boom },
		Changed:  func(coffer.ProjectID) time.Time { return time.Time{} },
		Projects: func() ([]coffer.ProjectID, error) { return []coffer.ProjectID{"p"}, nil },
	})
	n := 0
	for _, err := range s.List(t.Context(), "") {
		n++
		if !errors.Is(err, boom) && !coffer.IsKind(err, coffer.KindUnavailable) {
			t.Error(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, err := range s.Stale(ctx, "") {
		n++
		if !coffer.IsKind(err, coffer.KindCanceled) {
			t.Error(err)
		}
	}
	if n != 2 {
		t.Errorf("%d errors, want 2", n)
	}
}

// limited is a container of a server that says how many parts an object may have.
type limited struct {
	*storetest.Memory
	err error
}

func (l limited) MaxParts(context.Context) (int, error) { return 12, l.err }

type single struct {
	account
	st limited
}

func (s single) In(string) (store.Full, error) { return s.st, nil }

// How many parts an object may have is the server's word, whichever account hears it;
// one that cannot be asked is not waited for.
func TestMaxParts(t *testing.T) {
	t.Parallel()
	for want, err := range map[int]error{12: nil, 7: coffer.E(coffer.KindUnauthorized, "", "no")} {
		c, _ := newCloud("p1")
		s := accounts.New(accounts.Options{
			Account: func(p coffer.ProjectID) (accounts.Account, error) {
				return single{account{c, p}, limited{storetest.NewMemory(), err}}, nil
			},
			Changed: func(coffer.ProjectID) time.Time { return time.Time{} }, MaxParts: 7,
		})
		if n, err := s.MaxParts(t.Context()); n != 7 || err != nil {
			t.Errorf("before the first account: %d, %v", n, err)
		}
		put(t, s, "p1/c/x")
		if n, err := s.MaxParts(t.Context()); n != want || err != nil {
			t.Errorf("%d, %v; want %d", n, err, want)
		}
	}
}

// However many containers and choices one account comes to, no more than a bound of
// them is kept, and they work on when all begins anew.
func TestKeepsFewOpen(t *testing.T) {
	t.Parallel()
	c, s := newCloud("p1")
	put(t, s, "p1/c/x")
	for i := range 5000 {
		if _, err := s.Stat(t.Context(), fmt.Sprintf("p1/c%d/x", i)); !coffer.IsKind(err, coffer.KindNotFound) {
			t.Fatal(err)
		}
	}
	if c.opened["p1"] != 2 {
		t.Errorf("with 5000 containers the account was opened %d times, want 2", c.opened["p1"])
	}
	for i := range 5000 {
		if got, err := s.Choose(t.Context(), "p1", fmt.Sprint(i)); got != fmt.Sprint(i) || err != nil {
			t.Fatalf("%s, %v", got, err)
		}
	}
	if c.opened["p1"] != 3 {
		t.Errorf("with 5000 choices more it was opened %d times, want 3", c.opened["p1"])
	}
	if got := names(t, s, "p1/c/"); !slices.Equal(got, []string{"p1/c/x"}) {
		t.Errorf("there are %q", got)
	}
}
