// Package swift keeps objects in one container of a server that speaks Swift:
// OpenStack's own, or Ceph's radosgw. An object's name is its name there, after
// an optional prefix.
//
// A large object is segments and a manifest that names them. The manifest is
// static (SLO) where the server offers that and takes this many segments, else it
// is a prefix (DLO). The segments of "p/<b>.xbstream.zst" lie beside it:
//
//	p/<b>_00000000, p/<b>_00000001, …   the first upload that uses <b>
//	p/<b>_q<nonce>_00000000, …          any other, such as a second volume
//	p/<b>_upload, p/<b>_upload_<nonce>  the uploads that are not ended; empty
//
// Each of these has a content type of ours that names the upload, which listings
// show. So segments and open uploads are told from objects, and from what
// others keep in the same container, without one more request; and no upload's
// end can reach the segments of another.
//
// What servers leave open, and what is done about it:
//
//   - radosgw 16 checks no ETag of a segment and ignores "If-None-Match: *", so the
//     segments are compared with what was sent before the manifest is written, the
//     name is looked at first, and one Store publishes a name to one caller at a
//     time.
//   - A manifest that was written is looked at: only a size that is right is done.
//   - Neither server's ETag of a manifest is sent or trusted.
//   - Empty parts are not stored: a static manifest may not hold them.
//   - Listings may lag: a segment that is not listed is asked for by its name.
//
// A key of Meta comes back in small letters and with "_" for "-", as Trove reads it.
//
// On a radosgw with one name space for all, another project may own the container
// that was configured. A Store that is opened with a project's own credentials then
// uses "<container>_<project>" by itself (see [Options]).
package swift

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/remote"
)

// Options say where a Store is and how it is reached.
type Options struct {
	Auth Auth

	Container string // "" is coffer.DefaultContainer
	Project   string // whose own credentials these are; "" when they are the operator's
	Prefix    string // of every object; "" or something that ends in "/"
	Create    bool   // make the container when it is missing
	Dynamic   bool   // always write dynamic manifests

	Remote remote.Options
}

// Store is a container as a store. Any number of processes may share it.
type Store struct {
	http   *http.Client
	opts   Options
	login  *login
	naming remote.Names

	account string // in place of the login's own; see [Store.Beside]

	mu        sync.Mutex
	container string // "" until it was found
	static    *static
}

var (
	_ store.Full    = (*Store)(nil)
	_ store.Bounded = (*Store)(nil)
)

// New makes a Store. The server is asked first when it is used.
func New(o Options) (*Store, error) {
	const op = "open the Swift store"
	if o.Container == "" {
		o.Container = coffer.DefaultContainer
	}
	if err := o.check(op); err != nil {
		return nil, err
	}
	client, err := remote.Client(o.Remote)
	if err != nil {
		return nil, err
	}
	l, err := newLogin(o, client)
	if err != nil {
		return nil, err
	}
	return &Store{http: client, opts: o, login: l}, nil
}

// check looks at the names in the options.
func (o Options) check(op string) error {
	for _, name := range []string{o.Container, o.substitute()} {
		if name == "" || len(name) > 256 || strings.Contains(name, "/") {
			return coffer.E(coffer.KindInvalid, op, "%q is no container's name", name).WithHint("at most 256 bytes, and no slash")
		}
	}
	if o.Prefix == "" {
		return nil
	}
	if !strings.HasSuffix(o.Prefix, "/") {
		return coffer.E(coffer.KindInvalid, op, "the prefix %q does not end in a slash", o.Prefix)
	}
	return coffer.Wrap(op, store.CheckName(strings.TrimSuffix(o.Prefix, "/")))
}

// Close ends the idle connections. The store is not used after it.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// begin checks what every call checks first; it gives the place of the object.
func (s *Store) begin(ctx context.Context, op, name string) (place, error) {
	if err := ctx.Err(); err != nil {
		return place{}, coffer.Wrap(op, err)
	}
	if err := store.CheckName(name); err != nil {
		return place{}, err
	}
	container, _, err := s.Where(ctx)
	return place{container, s.opts.Prefix + name}, coffer.Wrap(op, err)
}

// name is the object's name of a key; "" when the key is not one of ours.
func (s *Store) name(key string) string {
	name, ok := strings.CutPrefix(key, s.opts.Prefix)
	if !ok || store.CheckName(name) != nil {
		return ""
	}
	return name
}
