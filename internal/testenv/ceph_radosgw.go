package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RadosgwOptions say what a private radosgw is like. The zero value knows only
// its local users and has global bucket names.
type RadosgwOptions struct {
	KeystoneURL     string   // with /v3: also take this Keystone's users
	ImplicitTenants bool     // each Keystone project has bucket names of its own
	ExtraConfig     []string // further lines of its section
}

// RadosgwServer is one private Ceph with a radosgw, which speaks S3 and Swift.
type RadosgwServer struct {
	URL      string // of S3, for instance http://127.0.0.1:4711
	SwiftURL string // of Swift; an account follows: SwiftURL/AUTH_<project>
	AuthURL  string // of Swift's own login (version 1)

	c     *cluster
	name  string
	conf  string
	guest bool // the cluster is another one's
}

// RadosgwUser is a local user of both APIs.
type RadosgwUser struct {
	Name           string
	Access, Secret string // of S3
	SwiftUser      string // "<name>:swift"
	SwiftKey       string
}

// StartRadosgw starts a Ceph and a radosgw. It takes about two seconds. End it
// with Stop.
func StartRadosgw(o RadosgwOptions) (*RadosgwServer, error) {
	if err := lookAll(cephPrograms[:]...); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		return nil, err
	}
	c, err := startCluster(dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start a private Ceph: %w", err)
	}
	return (&RadosgwServer{c: c, name: "a"}).up(o)
}

// Beside starts another radosgw on the same Ceph. It ends with r.
func (r *RadosgwServer) Beside(name string, o RadosgwOptions) (*RadosgwServer, error) {
	return (&RadosgwServer{c: r.c, name: name, guest: true}).up(o)
}

func (r *RadosgwServer) up(o RadosgwOptions) (*RadosgwServer, error) {
	if err := r.serve(o); err != nil {
		r.Stop()
		return nil, fmt.Errorf("start a private radosgw: %w", err)
	}
	return r, nil
}

func (r *RadosgwServer) serve(o RadosgwOptions) error {
	ports, err := loopbackPorts(1)
	if err != nil {
		return err
	}
	r.URL = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	r.SwiftURL, r.AuthURL = r.URL+"/swift/v1", r.URL+"/auth/v1.0"
	base, err := os.ReadFile(r.c.conf)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.Write(base)
	data := filepath.Join(r.c.dir, "rgw-"+r.name)
	r.conf = data + ".conf"
	fmt.Fprintf(&b, radosgwConf, data, ports[0], r.name)
	if o.KeystoneURL != "" {
		fmt.Fprintf(&b, radosgwKeystone, strings.TrimSuffix(o.KeystoneURL, "/v3"), o.ImplicitTenants)
	}
	for _, line := range o.ExtraConfig {
		b.WriteString(line + "\n")
	}
	if err := os.WriteFile(r.conf, []byte(b.String()), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	if err := r.c.start("rgw-"+r.name, nil, "radosgw", "-c", r.conf, "-n", "client.rgw."+r.name, "-f"); err != nil {
		return err
	}
	return r.c.await("rgw-"+r.name, 60*time.Second, func(ctx context.Context) bool {
		return answers(ctx, r.URL+"/swift/healthcheck", http.StatusOK)
	})
}

// User makes a local user of S3 and Swift.
func (r *RadosgwServer) User(name string) (RadosgwUser, error) {
	u := RadosgwUser{Name: name, Access: "AK" + strings.ToUpper(name), Secret: "secret-of-" + name, SwiftUser: name + ":swift", SwiftKey: "key-of-" + name}
	for _, args := range [][]string{
		{"user", "create", "--uid=" + name, "--display-name=" + name, "--access-key=" + u.Access, "--secret=" + u.Secret, "--max-buckets=0"},
		{"subuser", "create", "--uid=" + name, "--subuser=" + u.SwiftUser, "--access=full"},
		{"key", "create", "--subuser=" + u.SwiftUser, "--key-type=swift", "--secret=" + u.SwiftKey},
	} {
		args = append([]string{"-c", r.conf, "-n", "client.rgw." + r.name}, args...)
		if err := r.c.run("radosgw-admin", args...); err != nil {
			return RadosgwUser{}, err
		}
	}
	return u, nil
}

// Stop ends every process and removes what they stored.
func (r *RadosgwServer) Stop() {
	if r.guest {
		return
	}
	r.c.stop()
	os.RemoveAll(r.c.dir)
}

// radosgwConf wants the folder, the port and the name. The small parts are for tests.
const radosgwConf = `
[client.rgw.%[3]s]
rgw data = %[1]s
rgw frontends = beast endpoint=127.0.0.1:%[2]d tcp_nodelay=1
rgw thread pool size = 64
rgw enable usage log = false
rgw enable ops log = false
rgw gc obj min wait = 1
rgw gc processor period = 5
rgw swift account in url = true
rgw swift enforce content length = false
rgw multipart min part size = 1
rgw num rados handles = 1
rgw dns name =
debug rgw = 1
`

// radosgwKeystone wants Keystone's address without /v3.
const radosgwKeystone = `rgw keystone api version = 3
rgw keystone url = %[1]s
rgw keystone admin user = rgw
rgw keystone admin password = rgwpass
rgw keystone admin project = service
rgw keystone admin domain = Default
rgw keystone accepted roles = admin, member
rgw keystone implicit tenants = %[2]t
rgw s3 auth use keystone = true
`
