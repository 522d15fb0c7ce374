package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
)

// remoteStores are an S3 and a Swift store that have no problem.
const remoteStores = `
[api]
default_store = "s"
[stores.s]
kind = "s3"
endpoint = "https://s3.example:443"
bucket = "database-backups"
credentials_file = "DIR/secret"
[stores.w]
kind = "swift"
auth_url = "https://keystone.example/v3"
user = "u"
project = "p"
secret_file = "DIR/secret"
`

// Each line that is added or changed makes exactly one problem, at its key.
func TestCheckStores(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"secret": 0o600, "open": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("geheim"), mode); err != nil {
			t.Fatal(err)
		}
	}
	const own = "accounts = \"project\"\ncredentials_dir = \"DIR\""
	const s3Bucket, swiftUser = "bucket = \"database-backups\"\ncredentials_file = \"DIR/secret\"", "user = \"u\"\nproject = \"p\"\nsecret_file = \"DIR/secret\""
	const s3Secret, swiftSecret = `credentials_file = "DIR/secret"`, `secret_file = "DIR/secret"`
	for name, c := range map[string]struct{ old, new, want string }{
		"nothing":              {"", "", ""},
		"an underscore":        {"database-backups", "database_backups", `stores.s.bucket: write "database-backups"`},
		"a large letter":       {"database-backups", "Backups", "stores.s.bucket: small letters"},
		"a short bucket":       {"database-backups", "ab", "stores.s.bucket: 3 to 63"},
		"the usual bucket":     {`bucket = "database-backups"`, "", ""},
		"plain S3":             {"https://s3", "http://s3", "stores.s.endpoint: plaintext"},
		"plain S3, meant":      {`endpoint = "https`, "insecure = true\nendpoint = \"http", ""},
		"plain S3 here":        {"https://s3.example:443", "http://127.0.0.1:1", ""},
		"a bucket in the URL":  {":443", ":443/b", "stores.s.endpoint: has a path"},
		"keys in the URL":      {"https://s3", "https://geheim:x@s3", "stores.s.endpoint: name or password"},
		"no endpoint":          {`endpoint = "https://s3.example:443"`, "", "stores.s.endpoint: not said where"},
		"no keys":              {s3Secret, "", "stores.s.credentials_file: log in"},
		"keys for all":         {s3Secret, `credentials_file = "DIR/open"`, "stores.s.credentials_file: read by others"},
		"keys that are away":   {s3Secret, `credentials_file = "DIR/none"`, "stores.s.credentials_file: there is no"},
		"a CA that is away":    {s3Secret, s3Secret + "\nca_file = \"DIR/none\"", "stores.s.ca_file: there is no"},
		"a prefix":             {s3Secret, s3Secret + "\nprefix = \"a/../\"", "stores.s.prefix: no prefix"},
		"a container in S3":    {s3Secret, s3Secret + "\ncontainer = \"c\"", "stores.s.container: no such key"},
		"a path in Swift":      {swiftSecret, swiftSecret + "\npath = \"/x\"", "stores.w.path: no such key"},
		"plain Keystone":       {"https://keystone", "http://keystone", "stores.w.auth_url: plaintext"},
		"plain storage":        {swiftSecret, swiftSecret + "\nstorage_url = \"http://x/v1\"", "stores.w.storage_url: plaintext"},
		"no Keystone":          {`auth_url = "https://keystone.example/v3"`, "", "stores.w.auth_url: not said where"},
		"a version":            {swiftSecret, swiftSecret + "\nauth_version = \"2\"", "stores.w.auth_version: no version"},
		"version 1":            {`project = "p"`, `auth_version = "1"`, ""},
		"no password":          {swiftSecret, "", "stores.w.secret_file: log in"},
		"nobody":               {"user = \"u\"\nproject = \"p\"", "", "stores.w.user: nobody"},
		"no project":           {`project = "p"`, "", "stores.w.project: in which"},
		"a credential":         {"user = \"u\"\nproject = \"p\"", `application_credential = "x"`, ""},
		"a credential and one": {`project = "p"`, "project = \"p\"\napplication_credential = \"x\"", "stores.w.application_credential: remove one"},
		"a container's slash":  {swiftSecret, swiftSecret + "\ncontainer = \"a/b\"", "stores.w.container: slash"},
		"Swift's underscore":   {swiftSecret, swiftSecret + "\ncontainer = \"database_backups\"", ""},
		"an interface":         {swiftSecret, swiftSecret + "\ninterface = \"x\"", "stores.w.interface: no interface"},
		"own buckets":          {s3Secret, own, ""},
		"own templates":        {s3Bucket, own + "\nbucket = \"b-{project}\"", ""},
		"a template, shared":   {"database-backups", "b-{project}", "stores.s.bucket: the operator's own"},
		"a template, odd":      {s3Bucket, own + "\nbucket = \"b-{user}\"", `stores.s.bucket: no field "{user}"`},
		"a template, open":     {s3Bucket, own + "\nbucket = \"b-{project\"", "stores.s.bucket: brace"},
		"a template, long":     {s3Bucket, own + "\nbucket = \"{project}-{instance}\"", "stores.s.bucket: more than 63"},
		"a template, _":        {s3Bucket, own + "\nbucket = \"b_{project}\"", `stores.s.bucket: write "b-{project}"`},
		"a template, large":    {s3Bucket, own + "\nbucket = \"B-{project}\"", "stores.s.bucket: small letters"},
		"own, and a file":      {s3Secret, own + "\n" + s3Secret, "stores.s.credentials_file: its own"},
		"own, no folder":       {s3Secret, `accounts = "project"`, "stores.s.credentials_dir: folder with a file for each"},
		"own, folder away":     {s3Secret, "accounts = \"project\"\ncredentials_dir = \"DIR/none\"", "stores.s.credentials_dir: no folder"},
		"whose":                {s3Secret, s3Secret + "\naccounts = \"all\"", "stores.s.accounts: no accounts"},
		"a folder, shared":     {s3Secret, s3Secret + "\ncredentials_dir = \"DIR\"", "stores.s.credentials_dir: operator's"},
		"own containers":       {swiftUser, own + "\ncontainer = \"of_{project}_{instance}\"", ""},
		"own, by one user":     {swiftUser, "user = \"u\"\naccounts = \"project\"\n" + swiftSecret, ""},
		"own, a project":       {swiftUser, swiftUser + "\naccounts = \"project\"", "stores.w.project: its own"},
		"own, an address":      {swiftUser, own + "\nstorage_url = \"https://x/v1/AUTH_a\"", "stores.w.storage_url: its own"},
		"own, and a user":      {swiftUser, own + "\nuser = \"u\"", "stores.w.credentials_dir: remove them"},
		"own, nobody":          {swiftUser, `accounts = "project"`, "stores.w.user: a role in each project"},
		"own, no password":     {swiftUser, "user = \"u\"\naccounts = \"project\"", "stores.w.secret_file: log in"},
		"own, version 1":       {swiftUser, "user = \"u\"\naccounts = \"project\"\nauth_version = \"1\"\n" + swiftSecret, "stores.w.auth_version: one account each"},
		"a template's slash":   {swiftUser, own + "\ncontainer = \"{project}/x\"", "stores.w.container: slash"},
		"a default template":   {"[api]", "[api]\ndefault_container = \"{instance}\"", ""},
		"a default, odd":       {"[api]", "[api]\ndefault_container = \"{user}\"", "api.default_container: no field"},
		"a store's name":       {"[stores.w]", `[stores."../w"]`, "stores.../w: no store's name"},
	} {
		if !strings.Contains(remoteStores, c.old) {
			t.Fatalf("%s: no %q", name, c.old)
		}
		body := strings.ReplaceAll(strings.Replace(remoteStores, c.old, c.new, 1), "DIR", dir)
		cfg, err := config.Load(write(t, "coffer.toml", body, 0o644), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := cfg.Check(config.Everything)
		key, text, _ := strings.Cut(c.want, ": ")
		switch {
		case c.want == "" && len(got) == 0:
		case len(got) != 1 || got[0].Key != key || !strings.Contains(got[0].String(), text):
			t.Errorf("%s: want %q, got %v", name, c.want, got)
		case strings.Contains(got[0].String(), "geheim"):
			t.Errorf("%s: a secret is told", name)
		}
	}
}

// A project's login says who it is in one of the two ways, and nobody else reads it.
func TestReadLogin(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p1")
	if _, err := config.ReadLogin(path); !coffer.IsKind(err, coffer.KindInvalid) || !strings.Contains(coffer.HintOf(err), "0600") {
		t.Errorf("no file: %v", err)
	}
	for text, ok := range map[string]bool{
		"application_credential = \"id\"\nsecret = \"geheim\"":                  true,
		"user = \"u\"\nuser_domain = \"d\"\ntrust = \"t\"\nsecret = \"geheim\"": true,
		"user = \"u\"\nsecret = \"geheim\"\nproject = \"p\"":                    true,
		"user = \"u\"\napplication_credential = \"id\"\nsecret = \"geheim\"":    false,
		"secret = \"geheim\"": false,
		"user = \"u\"":        false,
		"user = \"u\"\npassword = \"geheim\"\nsecret = \"geheim\"": false,
		"geheim":          false,
		"secret = geheim": false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := config.ReadLogin(path)
		if ok != (err == nil) || ok != (l.Secret == "geheim") {
			t.Errorf("%q: %+v, %v", text, l, err)
		}
		if err != nil && (strings.Contains(err.Error(), "geheim") || !coffer.IsKind(err, coffer.KindInvalid) || coffer.HintOf(err) == "") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := config.ReadLogin(path); !coffer.IsKind(err, coffer.KindInvalid) {
		t.Errorf("readable by others: %v", err)
	}
}
