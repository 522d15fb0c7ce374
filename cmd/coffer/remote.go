package main

import (
	"net/http"
	"net/url"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/internal/auth"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/pki"
)

// remoteFlags are how to reach an API other than this machine's own server.
type remoteFlags struct {
	URL          string `env:"COFFER_URL" placeholder:"URL" help:"Address of the API, such as https://backup.example:8779; the server of the state folder by default."`
	TokenFile    string `env:"COFFER_TOKEN_FILE" type:"path" placeholder:"FILE" help:"File with the caller's token and project, a JSON line (mode 0600)."`
	CA           string `name:"ca" env:"COFFER_CA_FILE" type:"path" placeholder:"FILE" help:"Certificates that sign the API's; else the system's."`
	InsecureHTTP bool   `name:"insecure-http" help:"Send the token in plain HTTP to another machine."`
}

// client reaches the API that was named, or else the server of the state folder as
// its local administrator.
func (e *environment) client() (*client.Client, error) {
	at := endpoint{URL: e.remote.URL, CA: e.remote.CA}
	if at.URL == "" {
		own, err := e.state.endpoint()
		if err != nil {
			return nil, err
		}
		at = own
		given(&at.CA, e.remote.CA)
	}
	file := e.state.path("token")
	given(&file, e.remote.TokenFile)
	own, err := auth.ReadLocal(file)
	if coffer.IsKind(err, coffer.KindNotFound) && e.remote.TokenFile == "" {
		err = coffer.E(coffer.KindInvalid, "find the token", "%w", err).WithHint("name its file with --token-file or COFFER_TOKEN_FILE")
	}
	if err != nil {
		return nil, err
	}
	h, err := e.transport(at)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URL: at.URL, Token: own.Token, Project: own.Project, HTTP: h})
}

// transport refuses to send a token in plaintext to another machine.
func (e *environment) transport(at endpoint) (*http.Client, error) {
	const op = "reach the server"
	u, err := url.Parse(at.URL)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%q is no address of a server", at.URL)
	}
	if u.Scheme == "http" && !config.IsLocal(u.Host) && !config.IsLocal(u.Hostname()) && !e.remote.InsecureHTTP {
		return nil, coffer.E(coffer.KindInvalid, op, "%s would get the token in plaintext", u.Host).
			WithHint("use https://, or --insecure-http if the network between is trusted")
	}
	t, err := pki.ClientTLS(pki.Files{CA: at.CA})
	if err != nil {
		return nil, err
	}
	return httpClient(t), nil
}
