package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/store/accounts"
	"github.com/cofferdb/coffer/internal/store/s3"
	"github.com/cofferdb/coffer/internal/store/swift"
)

// owned is a store whose buckets or containers are the projects' own.
type owned struct {
	conf config.Store
	all  *accounts.Store
}

// leastEntries is how many segments every server's static manifest holds that is set up
// as it comes.
const leastEntries = 1000

// openOwned makes the store of a section that says so. Nobody is logged in yet.
func openOwned(c config.Store) place {
	o := &owned{conf: c}
	parts := leastEntries
	if c.Kind == config.S3 {
		parts = s3.MaxParts
	}
	o.all = accounts.New(accounts.Options{Account: o.account, Changed: o.changed, Projects: o.projects, MaxParts: parts})
	return place{full: patient(c, o.all), url: o.all.URL, owned: o}
}

// account opens a project's account by its own credentials.
func (o *owned) account(p coffer.ProjectID) (accounts.Account, error) {
	c := o.conf
	if c.Kind == config.S3 {
		c.CredentialsFile, c.Bucket = o.file(p), ""
		if !exists(c.CredentialsFile) {
			return nil, coffer.E(coffer.KindInvalid, "read the project's credentials", "the project has none in %s", c.CredentialsDir).
				WithHint("put its keys there, in a file named by the project's id, mode 0600")
		}
		if why, hint := config.Private(c.CredentialsFile); why != "" {
			return nil, coffer.E(coffer.KindInvalid, "read the project's credentials", "%s", why).WithHint("%s", hint)
		}
		base, err := s3.New(s3Options(c))
		return s3Account{base, p, c}, err
	}
	opts := swiftOptions(c)
	opts.Container = ""
	if c.CredentialsDir == "" {
		opts.Auth.Project, opts.Auth.ProjectDomain = string(p), ""
	} else {
		l, err := config.ReadLogin(o.file(p))
		if err != nil {
			return nil, err
		}
		a := &opts.Auth
		a.User, a.UserDomain, a.Trust, a.AppCredential, a.Secret = l.User, l.UserDomain, l.Trust, l.AppCredential, l.Secret
		if a.Project, a.ProjectDomain = l.Project, l.ProjectDomain; a.Project == "" {
			a.Project, a.ProjectDomain = string(p), ""
		}
	}
	base, err := swift.New(opts)
	return swiftAccount{base, p, hostOf(c.AuthURL)}, err
}

func (o *owned) file(p coffer.ProjectID) string {
	return filepath.Join(o.conf.CredentialsDir, string(p))
}

// changed is when a project's credentials were; a secret_file is read at each login.
func (o *owned) changed(p coffer.ProjectID) time.Time {
	if o.conf.CredentialsDir == "" {
		return time.Time{}
	}
	fi, err := os.Stat(o.file(p))
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// projects are those that have a file.
func (o *owned) projects() ([]coffer.ProjectID, error) {
	const op = "list the projects that have credentials"
	if o.conf.CredentialsDir == "" {
		return nil, coffer.E(coffer.KindUnsupported, op, "one user stands for all of them, and nothing names them").
			WithHint("name one: --project")
	}
	files, err := os.ReadDir(o.conf.CredentialsDir)
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	var out []coffer.ProjectID
	for _, f := range files {
		if p := coffer.ProjectID(f.Name()); p.Valid() && f.Type()&fs.ModeDir == 0 {
			out = append(out, p)
		}
	}
	return out, nil
}

// template is what the containers of new backups are called.
func (o *owned) template() string {
	switch {
	case o.conf.Kind == config.S3 && o.conf.Bucket != "":
		return o.conf.Bucket
	case o.conf.Kind == config.S3:
		return s3.DefaultBucket
	case o.conf.Container != "":
		return o.conf.Container
	}
	return coffer.DefaultContainer
}

// s3Account is the buckets that one project's keys own.
type s3Account struct {
	base    *s3.Store
	project coffer.ProjectID
	conf    config.Store
}

func (a s3Account) In(bucket string) (store.Full, error) { return a.base.In(bucket, "") }

func (a s3Account) Choose(ctx context.Context, wanted string) (string, error) {
	s, err := a.base.In(wanted, a.project)
	if err != nil {
		return "", err
	}
	used, _, err := s.Where(ctx)
	return used, err
}

func (a s3Account) Containers(ctx context.Context) ([]string, error) { return a.base.Buckets(ctx) }

func (a s3Account) URL(bucket, name string) string {
	a.conf.Bucket = bucket
	return s3URL(a.conf) + name
}

// swiftAccount is one project's account.
type swiftAccount struct {
	base    *swift.Store
	project coffer.ProjectID
	host    string // of who logs in
}

func (a swiftAccount) In(container string) (store.Full, error) { return a.base.In(container, "") }

func (a swiftAccount) Choose(ctx context.Context, wanted string) (string, error) {
	s, err := a.base.In(wanted, a.project)
	if err != nil {
		return "", err
	}
	used, _, err := s.Where(ctx)
	return used, err
}

func (a swiftAccount) Containers(ctx context.Context) ([]string, error) {
	return a.base.Containers(ctx)
}

func (a swiftAccount) URL(container, name string) string {
	at := a.base.Address()
	if at == "" {
		at = "swift://" + a.host + "/" + string(a.project)
	}
	return at + "/" + container + "/" + a.base.Key(name)
}

// Own reports whether the containers of a store are the projects' own.
func (s *stores) Own(name string) bool { return s.byName[name].owned != nil }

// Choose gives the container of a store that new backups of an instance use, and which
// one was wanted: asked, or with "" what the store's template says.
func (s *stores) Choose(ctx context.Context, name string, p coffer.ProjectID, in coffer.InstanceID, asked string) (used, wanted string, err error) {
	const op = "choose the project's container"
	o := s.byName[name].owned
	if o == nil {
		return asked, asked, nil
	}
	if wanted = asked; wanted == "" {
		wanted = coffer.FillContainer(o.template(), p, in)
	}
	err = hiccup.Do(ctx, op, func(ctx context.Context) error {
		used, err = o.all.Choose(ctx, p, wanted)
		return err
	})
	if coffer.IsKind(err, coffer.KindUnauthorized) { // it is not the caller who is unknown
		err = coffer.E(coffer.KindInvalid, op, "store %s takes the credentials of project %s no more: %w", name, p, err).
			WithHint("%s", coffer.HintOf(err))
	}
	return used, wanted, err
}
