package main

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/sign"
)

type caCmd struct {
	Init  caInitCmd  `cmd:"" help:"Make the authority, and the key that signs verbs."`
	Issue caIssueCmd `cmd:"" help:"Issue a certificate for a listener, or a client."`
	Show  caShowCmd  `cmd:"" help:"Show the authority."`
}

// The files of the key that signs verbs, beside the authority's.
const (
	verbsKey    = "verbs.key"
	verbsPublic = "verbs.pub"
)

// caDir is where the authority lies.
type caDir struct {
	Dir string `type:"path" placeholder:"DIR" help:"The authority's folder; STATE/ca by default."`
}

func (d caDir) dir(e *environment) string {
	return cmp.Or(d.Dir, e.state.path("ca"))
}

// caOut is the authority as it is printed.
type caOut struct {
	Certificate string    `json:"certificate"`
	Key         string    `json:"key"`
	Fingerprint string    `json:"fingerprint"`
	NotAfter    time.Time `json:"not_after"`
	SigningKey  string    `json:"signing_key,omitempty"`
	VerifyKey   string    `json:"verify_key,omitempty"`
}

func (c caOut) text(w io.Writer) {
	fields(w, "certificate", c.Certificate, "key", c.Key, "sha256", c.Fingerprint, "valid until", timeText(c.NotAfter),
		"key that signs verbs", c.SigningKey, "its public half", c.VerifyKey)
}

func showCA(e *environment, dir string, ca *pki.CA) error {
	out := caOut{
		Certificate: filepath.Join(dir, pki.CertFile), Key: filepath.Join(dir, pki.KeyFile),
		Fingerprint: pki.Fingerprint(ca.Cert), NotAfter: ca.Cert.NotAfter,
	}
	if f := filepath.Join(dir, verbsKey); exists(f) {
		out.SigningKey, out.VerifyKey = f, filepath.Join(dir, verbsPublic)
	}
	return e.show(out)
}

type caInitCmd struct {
	caDir
	Name string `default:"Coffer" help:"The authority's name."`
}

// Help is shown by --help.
func (caInitCmd) Help() string {
	return `Makes ca.key and ca.crt, and verbs.key and verbs.pub: what the control plane signs its verbs to agents with. Nothing that is there is replaced. Keep ca.key off the machines that answer, once the certificates are issued.

Example:
  coffer ca init --dir /etc/coffer/ca
  coffer ca issue rabbit --host rabbit.example --host 10.0.0.5 --dir /etc/coffer/ca --out /etc/rabbitmq

` + exitHelp
}

// Run makes both.
func (c *caInitCmd) Run(e *environment) error {
	dir := c.dir(e)
	ca, err := pki.Init(dir, c.Name, time.Now())
	if err != nil {
		return err
	}
	key, err := sign.Create(filepath.Join(dir, verbsKey))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, verbsPublic), []byte(sign.Public(key)+"\n"), 0o644); err != nil {
		return coffer.E(coffer.KindForbidden, "write the public half of the key that signs verbs", "%w", err)
	}
	return showCA(e, dir, ca)
}

type caIssueCmd struct {
	caDir
	Name   string   `arg:"" help:"The certificate's name, and its files': NAME.crt and NAME.key."`
	Host   []string `placeholder:"NAME" help:"DNS name or address that clients call it by; may be given often."`
	Client bool     `help:"For a client, not a listener."`
	Days   int      `default:"730" help:"How long it is valid."`
	Out    string   `type:"path" placeholder:"DIR" help:"Folder for the files; the authority's by default."`
}

// issuedOut is a certificate as it is printed.
type issuedOut struct {
	Certificate string    `json:"certificate"`
	Key         string    `json:"key"`
	NotAfter    time.Time `json:"not_after"`
}

func (i issuedOut) text(w io.Writer) {
	fields(w, "certificate", i.Certificate, "key", i.Key, "valid until", timeText(i.NotAfter))
}

// Run issues one.
func (c *caIssueCmd) Run(e *environment) error {
	dir := c.dir(e)
	if c.Days < 1 {
		return coffer.E(coffer.KindInvalid, "issue a certificate", "it cannot be valid for %d days", c.Days)
	}
	ca, err := pki.Load(dir)
	if err != nil {
		return err
	}
	given(&dir, c.Out)
	i, err := ca.Issue(dir, pki.Request{Name: c.Name, Hosts: c.Host, Client: c.Client, Life: time.Duration(c.Days) * 24 * time.Hour})
	if err != nil {
		return err
	}
	return e.show(issuedOut{i.Cert, i.Key, i.NotAfter})
}

type caShowCmd struct{ caDir }

// Run shows the authority.
func (c *caShowCmd) Run(e *environment) error {
	dir := c.dir(e)
	ca, err := pki.Load(dir)
	if err != nil {
		return err
	}
	return showCA(e, dir, ca)
}
