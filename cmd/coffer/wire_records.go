package main

import (
	"context"
	"crypto/tls"

	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/records"
)

// openRecords opens the metadata where the configuration says, and brings its
// schema up to date.
func openRecords(ctx context.Context, c config.Config) (*records.DB, error) {
	files, on := c.RecordsTLS()
	t, err := clientTLS(files, on)
	if err != nil {
		return nil, err
	}
	r := c.Records
	return records.OpenSource(ctx, records.Source{
		Path: r.Path, URL: r.URL, Password: r.Password.Reveal(), TLS: t, MaxConns: r.MaxConns,
	})
}

// clientTLS is nil where TLS is not spoken.
func clientTLS(f config.TLS, on bool) (*tls.Config, error) {
	if !on {
		return nil, nil
	}
	return pki.ClientTLS(pki.Files{CA: f.CAFile, Cert: f.CertFile, Key: f.KeyFile})
}
