package pki_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/testenv"
)

// A real MariaDB takes our certificates, of a server and of a client; who does not
// trust the CA does not come in. RabbitMQ and PostgreSQL are proven where their
// clients are.
func TestMariaDBTakesOurCertificates(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "mariadbd")
	dir, err := os.MkdirTemp("/tmp", "cfpki") // the server's own user reads it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	ca, err := pki.Init(filepath.Join(dir, "ca"), "test", time.Now())
	must(err)
	server, err := ca.Issue(dir, pki.Request{Name: "db", Hosts: []string{"127.0.0.1"}})
	must(err)
	client, err := ca.Issue(dir, pki.Request{Name: "coffer", Client: true})
	must(err)
	caFile := filepath.Join(dir, "ca.crt")
	must(os.WriteFile(caFile, []byte(pki.PEM(ca.Cert)), 0o644))
	must(os.Chmod(server.Key, 0o644)) // of a test: the server runs as another user
	s := testenv.MariaDB(t, testenv.MariaDBOptions{ExtraConfig: []string{
		"ssl_ca=" + caFile, "ssl_cert=" + server.Cert, "ssl_key=" + server.Key, "tls_version=TLSv1.2,TLSv1.3",
	}})
	s.Exec(t, "CREATE USER 'x'@'127.0.0.1' IDENTIFIED BY 'pw' REQUIRE SUBJECT '/CN=coffer'")
	trusting, err := pki.ClientTLS(pki.Files{CA: caFile, Cert: client.Cert, Key: client.Key})
	must(err)
	without, err := pki.ClientTLS(pki.Files{CA: caFile})
	must(err)
	for _, c := range []struct {
		name string
		tls  *tls.Config
		ok   bool
	}{
		{"with our certificate", trusting, true},
		{"without one", without, false},
		{"trusting others", &tls.Config{MinVersion: tls.VersionTLS12}, false},
		{"in plain text", nil, false},
	} {
		err := ping(t, s.Port, c.tls)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func ping(t *testing.T, port int, c *tls.Config) error {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = "x", "pw", "tcp", fmt.Sprintf("127.0.0.1:%d", port)
	cfg.Logger = &mysql.NopLogger{}
	if c != nil {
		cfg.TLS = c.Clone()
		cfg.TLS.ServerName = "127.0.0.1"
	}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(conn)
	defer db.Close()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	return db.PingContext(ctx)
}
