package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/cofferdb/coffer/internal/testenv"
)

// cloud is a real Keystone with the object stores of its projects.
type cloud struct {
	keystone *testenv.KeystoneServer
	swift    *testenv.SwiftServer
	off, on  *testenv.RadosgwServer // without and with implicit tenants
}

var clouds = testenv.Share(func() (*cloud, error) {
	port, err := testenv.LoopbackPort()
	if err != nil {
		return nil, err
	}
	c, url := &cloud{}, testenv.KeystoneURL(port)
	var wg sync.WaitGroup
	var errs [3]error
	wg.Go(func() { c.keystone, errs[0] = testenv.StartKeystone(testenv.KeystoneOptions{Port: port}) })
	wg.Go(func() { c.swift, errs[1] = testenv.StartSwift(testenv.SwiftOptions{KeystoneURL: url}) })
	wg.Go(func() {
		if c.off, errs[2] = testenv.StartRadosgw(testenv.RadosgwOptions{KeystoneURL: url}); errs[2] == nil {
			c.on, errs[2] = c.off.Beside("on", testenv.RadosgwOptions{KeystoneURL: url, ImplicitTenants: true})
		}
	})
	wg.Wait()
	err = errors.Join(errs[:]...)
	if err == nil {
		err = errors.Join(
			c.keystone.AddEndpoint("object-store", "RegionOne", c.swift.KeystoneURL+"/AUTH_%(project_id)s"),
			c.keystone.AddEndpoint("object-store", "off", c.off.SwiftURL+"/AUTH_%(project_id)s"),
			c.keystone.AddEndpoint("object-store", "on", c.on.SwiftURL+"/AUTH_%(project_id)s"),
		)
	}
	if err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
})

func (c *cloud) Stop() {
	if c.keystone != nil {
		c.keystone.Stop()
	}
	if c.swift != nil {
		c.swift.Stop()
	}
	if c.off != nil {
		c.off.Stop()
	}
}

// setup is one way in which two projects share a server.
type setup struct {
	name     string
	region   string // of Swift's catalogue; "off" and "on" are radosgws
	s3       bool
	users    [2]string
	projects [2]string // names
	extra    string    // more of the section
	moved    int       // projects whose container is another than the plain one
	forgets  bool      // the records are lost in between
	heavy    bool
}

// rgw is the setup's radosgw.
func (s setup) rgw(c *cloud) *testenv.RadosgwServer {
	if s.region == "on" {
		return c.on
	}
	return c.off
}

// section is the store's, and the folder with the projects' credentials: keys for S3,
// for Swift an application credential and a trust.
func (s setup) section(t *testing.T, c *cloud) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range s.projects {
		text := ""
		switch {
		case s.s3:
			key := c.keystone.EC2[s.users[i]]
			text = "[default]\naws_access_key_id = " + key.Access + "\naws_secret_access_key = " + key.Secret + "\n"
		case i == 0:
			id, secret, err := c.keystone.AppCredential(s.users[i], name, "coffer-"+s.name)
			if err != nil {
				t.Fatal(err)
			}
			text = fmt.Sprintf("application_credential = %q\nsecret = %q\n", id, secret)
		default:
			trust, err := c.keystone.Trust(s.users[i], name, "trove")
			if err != nil {
				t.Fatal(err)
			}
			text = fmt.Sprintf("user = \"trove\"\nuser_domain = \"Default\"\ntrust = %q\nsecret = \"trovepass\"\n", trust)
		}
		if err := os.WriteFile(filepath.Join(dir, c.keystone.Projects[name]), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	section := fmt.Sprintf("accounts = \"project\"\ncredentials_dir = %q\ncreate = true\n%s", dir, s.extra)
	if s.s3 {
		return section + fmt.Sprintf("kind = \"s3\"\nendpoint = %q\n", s.rgw(c).URL)
	}
	return section + fmt.Sprintf("kind = \"swift\"\nauth_url = %q\nregion = %q\n", c.keystone.URL, s.region)
}

// addresses are all ways to name the container of project i for somebody of the other
// project.
func (s setup) addresses(c *cloud, i int, container string) []string {
	theirs, mine := c.keystone.Projects[s.projects[i]], c.keystone.Projects[s.projects[1-i]]
	switch {
	case s.s3 && s.region == "on":
		return []string{c.on.URL + "/" + theirs + ":" + container}
	case s.s3:
		return []string{c.off.URL + "/" + container}
	case s.region == "RegionOne":
		return []string{c.swift.KeystoneURL + "/AUTH_" + theirs + "/" + container}
	case s.region == "on":
		return []string{c.on.SwiftURL + "/AUTH_" + theirs + "/" + container}
	}
	return []string{c.off.SwiftURL + "/AUTH_" + theirs + "/" + container, c.off.SwiftURL + "/AUTH_" + mine + "/" + container}
}

// ask makes one request with the credentials of project i's own user.
func (s setup) ask(t *testing.T, c *cloud, i int, method, url string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPut {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Close = true
	if s.s3 {
		key := c.keystone.EC2[s.users[i]]
		req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		req = signer.SignV4(*req, key.Access, key.Secret, "", "us-east-1")
	} else {
		token, err := c.keystone.Token(s.users[i], s.users[i]+"pass", s.projects[i])
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", token)
	}
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil || strings.Contains(string(text), "SignatureDoesNotMatch") {
		t.Errorf("%s %s: %v %s", method, url, err, text)
	}
	return resp.StatusCode
}

// trespass tries to list, look at, read, overwrite, change and delete what lies in
// the container of project i with the other project's own credentials. Every server
// answers 403 to every one.
func (s setup) trespass(t *testing.T, c *cloud, i int, container string, objects ...string) {
	t.Helper()
	all := s.addresses(c, i, container)
	for _, r := range []string{"", "/" + objects[0]} { // what is refused is who asks, not how
		if got := s.ask(t, c, i, http.MethodGet, all[0]+r); got != http.StatusOK {
			t.Errorf("GET %s%s with the credentials of %s: %d", all[0], r, s.projects[i], got)
		}
	}
	for _, at := range all {
		requests := []string{"GET ", "HEAD ", "DELETE ", "PUT /stranger"}
		for _, o := range objects {
			requests = append(requests, "GET /"+o, "HEAD /"+o, "PUT /"+o, "DELETE /"+o)
			if !s.s3 {
				requests = append(requests, "POST /"+o)
			}
		}
		for _, r := range requests {
			method, path, _ := strings.Cut(r, " ")
			if got := s.ask(t, c, 1-i, method, at+path); got != http.StatusForbidden {
				t.Errorf("%s %s%s with the credentials of %s: %d, want 403", method, at, path, s.projects[1-i], got)
			}
		}
	}
}
