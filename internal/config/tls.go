package config

import (
	"cmp"
	"net"
	"net/url"
	"strings"
)

// BusTLS is the files to speak TLS to the broker with, and whether to: always off
// this machine, unless the section is insecure.
func (c Config) BusTLS() (files TLS, on bool) {
	b := c.Bus
	return TLS{cmp.Or(b.CAFile, c.TLS.CAFile), b.CertFile, b.KeyFile},
		!b.Insecure && (b.TLS || b.CAFile != "" || b.CertFile != "" || !allLocal(b.Hosts))
}

// RecordsTLS is the same for the records' server.
func (c Config) RecordsTLS() (files TLS, on bool) {
	r := c.Records
	return TLS{cmp.Or(r.CAFile, c.TLS.CAFile), r.CertFile, r.KeyFile},
		!r.Insecure && (r.TLS || r.CAFile != "" || r.CertFile != "" || !allLocal(r.Hosts()))
}

// APITLS is the certificate and key that the API answers with; none is plain HTTP.
func (c Config) APITLS() (files TLS, on bool) {
	files = TLS{CertFile: c.API.CertFile, KeyFile: c.API.KeyFile}
	if files.CertFile == "" && files.KeyFile == "" && !c.API.Insecure && !IsLocal(c.API.Listen) {
		files.CertFile, files.KeyFile = c.TLS.CertFile, c.TLS.KeyFile
	}
	return files, files.CertFile != ""
}

// Hosts are the hosts of the URL.
func (r Records) Hosts() []string {
	u, err := url.Parse(r.URL)
	if r.URL == "" || err != nil {
		return nil
	}
	return strings.Split(u.Host, ",")
}

func allLocal(hosts []string) bool {
	for _, h := range hosts {
		if !IsLocal(h) {
			return false
		}
	}
	return true
}

// IsLocal reports whether an address, with a port or not, cannot leave this
// machine: loopback, or a socket's path.
func IsLocal(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	if strings.HasPrefix(address, "/") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
