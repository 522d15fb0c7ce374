package main

import (
	"bytes"
	"context"
	"os"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/store/swift"
	"github.com/cofferdb/coffer/internal/trovestore"
)

// troveAccess is how backups that Trove has written are read by a store's credentials.
type troveAccess struct {
	swift *swift.Store // nil: the store is not Swift
	conf  config.Store
}

// TroveSource opens the container of a backup of Trove's, on the server and by the
// credentials of a configured store.
func (s *stores) TroveSource(ctx context.Context, name string, l trovestore.Location) (trovestore.Source, error) {
	const op = "open the container of Trove's backup"
	p, ok := s.byName[name]
	if !ok || p.trove.swift == nil {
		return trovestore.Source{}, coffer.E(coffer.KindInvalid, op, "the configuration names no store %q of kind swift", name).
			WithHint("configure one on the server that Trove's backups lie on")
	}
	at, err := p.trove.swift.Beside(ctx, l.AccountName(), l.Container)
	if err != nil {
		return trovestore.Source{}, coffer.Wrap(op, err)
	}
	src := trovestore.Source{Store: patient(p.trove.conf, at)}
	if file := p.trove.conf.TroveKeyFile; file != "" {
		pass, err := os.ReadFile(file)
		if err != nil {
			return trovestore.Source{}, coffer.E(coffer.KindInvalid, "read Trove's key", "%w", err)
		}
		src.Passphrase = bytes.TrimRight(pass, "\r\n")
	}
	return src, nil
}

// Find chooses the store that reads a backup of Trove's, and looks at its object. Of a
// project, unless any is allowed, only its own account is read: the credentials may be
// an operator's, who sees all accounts.
func (s *stores) Find(ctx context.Context, location string, p coffer.ProjectID, any bool) (name, container string, err error) {
	l, err := trovestore.ParseLocation(location)
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		return "", "", err
	}
	if !any && !l.Of(p) {
		return "", "", coffer.E(coffer.KindForbidden, "look at the backup's account", "account %.80q is not the project's own", l.AccountName())
	}
	if name, err = s.swiftStore(""); err != nil {
		return "", "", err
	}
	src, err := s.TroveSource(ctx, name, l)
	if err == nil {
		_, err = src.Store.Stat(ctx, l.Object)
	}
	return name, l.Container, err
}

// swiftStore is the name of the store of kind swift that is wanted; "" is the first.
func (s *stores) swiftStore(want string) (string, error) {
	for _, name := range s.names() {
		if s.byName[name].trove.swift != nil && (want == "" || want == name) {
			return name, nil
		}
	}
	return "", coffer.E(coffer.KindUnsupported, "choose the store", "the configuration names no such store of kind swift").
		WithHint("configure one on the server that Trove's backups lie on")
}
