package testenv

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// KeystoneOptions say what a private Keystone is like.
type KeystoneOptions struct {
	Port      int               // on 127.0.0.1; 0 is a free one
	TokenLife time.Duration     // 0 is an hour
	Endpoints map[string]string // of the catalogue: type to URL; "%(project_id)s" is filled in
}

// KeystoneServer is one private Keystone. Its projects are farm-a (users alice
// and anna), farm-b (bob and bea), farm-c (carol), farm-d (dave) and service
// (swift, rgw, trove); a user's
// password is the name with "pass" behind it.
type KeystoneServer struct {
	URL      string               // with /v3
	Projects map[string]string    // name to id
	Users    map[string]string    // name to id
	EC2      map[string]AccessKey // of a user of each project, for S3

	farm
	port  int
	token string // the administrator's
}

// AccessKey is a pair of S3 credentials.
type AccessKey struct {
	Access string `json:"access"`
	Secret string `json:"secret"`
}

// LoopbackPort is a port of 127.0.0.1 that nobody listens on now.
func LoopbackPort() (int, error) {
	ports, err := loopbackPorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// KeystoneURL is the address of a Keystone on that port, so that what asks it can
// be started at the same time.
func KeystoneURL(port int) string { return fmt.Sprintf("http://127.0.0.1:%d/v3", port) }

// StartKeystone starts one in six to nine seconds. End it with Stop.
func StartKeystone(o KeystoneOptions) (*KeystoneServer, error) {
	if err := lookAll("keystone-manage", "uwsgi", "keystone-wsgi-public"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		return nil, err
	}
	k := &KeystoneServer{
		farm: farm{dir: dir}, Projects: map[string]string{}, Users: map[string]string{}, EC2: map[string]AccessKey{},
	}
	for _, step := range []func(KeystoneOptions) error{k.configure, k.bootstrap, k.serve, k.seed} {
		if err := step(o); err != nil {
			k.Stop()
			return nil, fmt.Errorf("start a private Keystone: %w", err)
		}
	}
	return k, nil
}

func (k *KeystoneServer) path(name string) string { return filepath.Join(k.dir, name) }

func (k *KeystoneServer) configure(o KeystoneOptions) error {
	k.port = o.Port
	if k.port == 0 {
		ports, err := loopbackPorts(1)
		if err != nil {
			return err
		}
		k.port = ports[0]
	}
	k.URL = KeystoneURL(k.port)
	life := o.TokenLife
	if life == 0 {
		life = time.Hour
	}
	// The two repositories of keys hold nothing but base64 of random bytes.
	for _, repository := range []string{"fernet", "credential"} {
		if err := os.Mkdir(k.path(repository), 0o700); err != nil {
			return err
		}
		for _, key := range []string{"0", "1"} {
			raw := make([]byte, 32)
			_, _ = rand.Read(raw) // never fails
			text := base64.URLEncoding.EncodeToString(raw)
			if err := os.WriteFile(filepath.Join(k.path(repository), key), []byte(text), 0o600); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(k.path("policy.yaml"), nil, 0o644); err != nil {
		return err
	}
	return os.WriteFile(k.path("keystone.conf"), fmt.Appendf(nil, keystoneConf, k.dir, int(life.Seconds())), 0o644)
}

func (k *KeystoneServer) bootstrap(KeystoneOptions) error {
	conf := k.path("keystone.conf")
	if err := k.run("keystone-manage", "--config-file", conf, "db_sync"); err != nil {
		return err
	}
	// Readers next to a writer need the write-ahead log; the mode stays in the file.
	wal := `import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute("pragma journal_mode=wal")`
	if err := k.run("/usr/bin/python3", "-c", wal, k.path("keystone.db")); err != nil {
		return err
	}
	return k.run("keystone-manage", "--config-file", conf, "bootstrap", "--bootstrap-password", "admin",
		"--bootstrap-region-id", "RegionOne", "--bootstrap-admin-url", k.URL, "--bootstrap-public-url", k.URL, "--bootstrap-internal-url", k.URL)
}

// serve runs one thread: more make SQLite answer that it is locked.
func (k *KeystoneServer) serve(KeystoneOptions) error {
	app, err := exec.LookPath("/usr/bin/keystone-wsgi-public")
	if err != nil {
		return err
	}
	err = k.start("keystone", []string{"OS_KEYSTONE_CONFIG_FILES=" + k.path("keystone.conf")}, "uwsgi",
		"--plugins", "python3", "--http-socket", fmt.Sprintf("127.0.0.1:%d", k.port), "--master", "--no-orphans", "--die-on-term",
		"--processes", "1", "--threads", "1", "--enable-threads", "--lazy-apps", "--buffer-size", "65535",
		"--add-header", "Connection: close", "--need-app", "--disable-logging", "--wsgi-file", app)
	if err != nil {
		return err
	}
	return k.await("keystone", 60*time.Second, func(ctx context.Context) bool { return answers(ctx, k.URL, http.StatusOK) })
}

// Stop ends Keystone and removes its folder.
func (k *KeystoneServer) Stop() {
	k.stop()
	os.RemoveAll(k.dir)
}

// Token logs a user in to a project.
func (k *KeystoneServer) Token(user, password, project string) (string, error) {
	domain := map[string]any{"id": "default"}
	body := map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": user, "domain": domain, "password": password},
		}},
		"scope": map[string]any{"project": map[string]any{"name": project, "domain": domain}},
	}}
	h, err := k.Call(http.MethodPost, "/auth/tokens", "", body, nil)
	return h.Get("X-Subject-Token"), err
}

// Call makes one request to Keystone's API and decodes the answer into out.
func (k *KeystoneServer) Call(method, path, token string, in, out any) (http.Header, error) {
	var raw []byte
	if in != nil {
		var err error
		if raw, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, k.URL+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return resp.Header, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, strings.TrimSpace(string(text)))
	}
	if out != nil {
		err = json.Unmarshal(text, out)
	}
	return resp.Header, err
}

// keystoneConf wants the folder and a token's life in seconds. The cache has to
// copy what it gives out ("memory_pickle"), or EC2 logins work once only.
const keystoneConf = `[DEFAULT]
use_stderr = true
log_dir =
insecure_debug = true
[database]
connection = sqlite:///%[1]s/keystone.db
sqlite_synchronous = false
[cache]
enabled = true
backend = dogpile.cache.memory_pickle
[token]
provider = fernet
expiration = %[2]d
[fernet_tokens]
key_repository = %[1]s/fernet
[fernet_receipts]
key_repository = %[1]s/fernet
[credential]
key_repository = %[1]s/credential
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
[oslo_policy]
policy_file = %[1]s/policy.yaml
[oslo_middleware]
enable_proxy_headers_parsing = false
`
