package main

import (
	"context"
	"io"
	"slices"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/mysql"
	"github.com/cofferdb/coffer/internal/keyring"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/file"
	"github.com/cofferdb/coffer/internal/store/s3"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// defaultStore is the name of the one store of an embedded Coffer.
const defaultStore = "default"

// stores opens the stores of the configuration by name.
type stores struct {
	byName map[string]place
	first  string // takes new backups; "" where that is not said
}

// place is one store, and what its objects' addresses are.
type place struct {
	full  store.Full
	url   func(object string) string
	trove troveAccess
	owned *owned // nil: its bucket or container is the operator's
}

// below gives addresses that begin with a URL.
func below(url string) func(string) string {
	return func(object string) string { return url + object }
}

// openStores opens every store that the configuration names. Folders are made only
// where create says so: one that somebody named may be a disk that is not mounted.
func openStores(c config.Config, create bool) (*stores, error) {
	s := &stores{byName: map[string]place{}, first: c.API.DefaultStore}
	for name, one := range c.Stores {
		p, err := openStore(one, create)
		if err != nil {
			return nil, coffer.Wrap("open the store "+name, err)
		}
		s.byName[name] = p
		if len(c.Stores) == 1 {
			s.first = name
		}
	}
	return s, nil
}

// openStore opens a store by its kind.
func openStore(c config.Store, create bool) (place, error) {
	if c.Accounts == config.Projects {
		return openOwned(c), nil
	}
	switch c.Kind {
	case config.File:
		f, err := file.New(c.Path, file.Options{Create: create})
		if err != nil {
			return place{}, err
		}
		return place{full: failpointStore(store.Limit(f, int64(c.Rate))), url: below("file://" + c.Path + "/")}, nil
	case config.S3:
		s, err := s3.New(s3Options(c))
		if err != nil {
			return place{}, err
		}
		return place{full: patient(c, s), url: below(s3URL(c))}, nil
	case config.Swift:
		s, err := swift.New(swiftOptions(c))
		if err != nil {
			return place{}, err
		}
		return place{full: patient(c, s), url: below(swiftURL(c)), trove: troveAccess{s, c}}, nil
	}
	return place{}, coffer.E(coffer.KindInvalid, "", "there is no store of kind %q", c.Kind)
}

// names are all stores, the one that takes new backups first.
func (s *stores) names() []string {
	out := []string{s.first}
	for name := range s.byName {
		if name != s.first {
			out = append(out, name)
		}
	}
	slices.Sort(out[1:])
	return out
}

func (s *stores) Open(_ context.Context, name string) (store.Full, error) {
	p, ok := s.byName[name]
	if !ok {
		return nil, coffer.E(coffer.KindInvalid, "open a store", "the configuration names no store %q", name)
	}
	return p.full, nil
}

// ReadProbe reads back what an agent has written into a store, and removes it.
func (s *stores) ReadProbe(ctx context.Context, name, object, sum string) error {
	const op = "read back the agent's probe object"
	st, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	r, err := st.Open(ctx, object, 0, -1)
	if err != nil {
		return coffer.Wrap(op, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	r.Close()
	if err != nil {
		return coffer.Wrap(op, err)
	}
	if store.Bytes(b).SHA256() != sum {
		return coffer.E(coffer.KindUnprocessable, op, "store %s gave other bytes than the agent wrote", name).
			WithHint("the agent and the control plane must name the same store: compare their configurations")
	}
	if err := st.Delete(ctx, object); err != nil && !coffer.IsKind(err, coffer.KindKept) {
		return coffer.Wrap("remove the probe object", err)
	}
	return nil
}

func (s *stores) URL(name, object string) string {
	if p, ok := s.byName[name]; ok {
		return p.url(object)
	}
	return object
}

// engines gives the engine for a server.
type engines struct {
	guard  []string
	state  string
	runner engine.Runner
}

func (e engines) Engine(conn coffer.Conn) (engine.Engine, error) {
	return mysql.New(mysql.Config{Conn: conn, Guard: e.guard, StateDir: e.state, Runner: e.runner})
}

// readable says at the start, and not in the night of a restore, that the identity
// which was named cannot be used. None may be named.
func readable(identity string) error {
	if identity == "" {
		return nil
	}
	_, err := codec.ReadIdentities(identity)
	return err
}

// openRing reads the operator's keys. Agents have no records: db is nil there.
func openRing(k config.Keys, db *records.DB, st *stores) (*keyring.Ring, error) {
	ring := &keyring.Ring{Stores: st, IdentityFile: k.IdentityFile}
	if db == nil {
		return ring, nil
	}
	ring.Records = db
	rcp, err := recipients(k)
	if err != nil {
		return nil, coffer.Wrap("read the recipients", err)
	}
	ring.Recipients = rcp
	return ring, nil
}

func recipients(k config.Keys) ([]age.Recipient, error) {
	switch {
	case len(k.Recipients) > 0:
		return codec.ParseRecipients(k.Recipients...)
	case k.RecipientsFile != "":
		return codec.ReadRecipients(k.RecipientsFile)
	}
	return nil, nil
}
