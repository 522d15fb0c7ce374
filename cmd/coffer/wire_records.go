package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/retry"
)

// openRecords opens the metadata where the configuration says, and brings its
// schema up to date. A server that is not there yet is waited for.
func openRecords(ctx context.Context, c config.Config, log *slog.Logger) (db *records.DB, err error) {
	files, on := c.RecordsTLS()
	t, err := clientTLS(files, on)
	if err != nil {
		return nil, err
	}
	r := c.Records
	src := records.Source{Path: r.Path, URL: r.URL, Password: r.Password.Reveal(), TLS: t, MaxConns: r.MaxConns}
	if r.URL == "" {
		return records.OpenSource(ctx, src)
	}
	var once sync.Once
	err = retry.Policy{Min: 200 * time.Millisecond, Max: 5 * time.Second}.Do(ctx, "reach the records", func(ctx context.Context) error {
		var err error
		if db, err = records.OpenSource(ctx, src); coffer.IsKind(err, coffer.KindUnavailable) {
			once.Do(func() { log.Warn("the records cannot be reached yet; they are waited for", "err", err) })
		}
		return err
	})
	return db, err
}

// clientTLS is nil where TLS is not spoken.
func clientTLS(f config.TLS, on bool) (*tls.Config, error) {
	if !on {
		return nil, nil
	}
	return pki.ClientTLS(pki.Files{CA: f.CAFile, Cert: f.CertFile, Key: f.KeyFile})
}
