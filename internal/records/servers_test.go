package records_test

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/records/recordstest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// openSource opens records and closes them with the test.
func openSource(t testing.TB, s records.Source) *records.DB {
	t.Helper()
	db, err := records.OpenSource(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	server := testenv.PostgreSQL(t, testenv.PostgresOptions{})
	fresh := func(t testing.TB) records.Source {
		return records.Source{URL: server.Database(t), Password: testenv.PostgresPassword, MaxConns: 5}
	}
	onServer(t, fresh)
	t.Run("lost end", func(t *testing.T) {
		t.Parallel()
		testLostEnd(t, fresh(t))
	})
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		testSession(t, fresh(t), map[string]string{
			`SHOW transaction_isolation`:               "read committed",
			`SHOW idle_in_transaction_session_timeout`: "15s",
			`SHOW lock_timeout`:                        "10s",
		})
	})
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t)
	server, fresh := mariaDB(t, "ssl_cert = "+cert, "ssl_key = "+key)
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		s := fresh(t)
		server.Exec(t, "CREATE USER 'sealed'@'127.0.0.1' IDENTIFIED BY 'hidden-word-77' REQUIRE SSL", "GRANT ALL ON `t%`.* TO 'sealed'@'127.0.0.1'")
		s.URL, s.Password = strings.Replace(s.URL, mariaUser, "sealed", 1), "hidden-word-77"
		testTLS(t, s, trust, `SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_version'`)
	})
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		testSession(t, fresh(t), map[string]string{
			`SELECT @@tx_isolation`:             "READ-COMMITTED",
			`SELECT @@idle_transaction_timeout`: "15",
			`SELECT @@innodb_lock_wait_timeout`: "10",
		})
	})
	t.Run("partial step", func(t *testing.T) {
		t.Parallel()
		testPartialStep(t, fresh(t))
	})
	onServer(t, fresh)
}

const mariaUser = "coffer_records"

// mariaDB starts a server and gives empty databases of it.
func mariaDB(t testing.TB, config ...string) (*testenv.Server, func(testing.TB) records.Source) {
	const password = "hidden-word-9a3e"
	server := testenv.MariaDB(t, testenv.MariaDBOptions{LogBin: true, ExtraConfig: append(config, "max_connections = 200")})
	server.Exec(t, fmt.Sprintf("CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s'", mariaUser, password),
		fmt.Sprintf("GRANT ALL ON `t%%`.* TO '%s'@'127.0.0.1'", mariaUser))
	var made atomic.Int64
	return server, func(t testing.TB) records.Source {
		t.Helper()
		name := fmt.Sprintf("t%d", made.Add(1))
		server.Exec(t, "CREATE DATABASE "+name)
		u := url.URL{Scheme: "mysql", User: url.User(mariaUser), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port)), Path: "/" + name}
		return records.Source{URL: u.String(), Password: password, MaxConns: 5}
	}
}

// onServer runs all that a database server must do, beside what is its own.
func onServer(t *testing.T, fresh func(testing.TB) records.Source) {
	t.Run("law", func(t *testing.T) {
		t.Parallel()
		recordstest.Run(t, recordstest.Database{Fresh: func(t *testing.T) func() *records.DB {
			s := fresh(t)
			return func() *records.DB { return openSource(t, s) }
		}})
	})
	for _, c := range []struct {
		name string
		run  func(*testing.T, records.Source)
	}{
		{"upgrade", testUpgrade},
		{"start together", testStartTogether},
		{"deadlock", testDeadlock},
		{"cut", testCut},
		{"lost commit", testLostCommit},
		{"gives up", testGivesUp},
		{"refused", testRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, fresh(t))
		})
	}
}

// testRefused: what is wrong with the account or the server is said with a hint, and
// never with the password.
func testRefused(t *testing.T, s records.Source) {
	wrong, absent, nowhere := s, s, behind(t, s, "127.0.0.1:1")
	wrong.Password = "wrong-word-11"
	absent.URL += "_absent"
	for name, bad := range map[string]records.Source{"wrong password": wrong, "no such database": absent, "nobody listens": nowhere} {
		_, err := records.OpenSource(t.Context(), bad)
		if !coffer.IsKind(err, coffer.KindUnavailable) || coffer.HintOf(err) == "" {
			t.Errorf("%s: %q, hint %q: %v", name, coffer.KindOf(err), coffer.HintOf(err), err)
		}
		if err != nil && strings.Contains(err.Error(), bad.Password) {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
}

// testSession asks what the changes rest on: which rows a statement sees, and how
// long a stopped process can keep others waiting.
func testSession(t *testing.T, s records.Source, want map[string]string) {
	db := openSource(t, s)
	for query, value := range want {
		if got, err := db.Ask(t.Context(), query); got != value || err != nil {
			t.Errorf("%s: %q (%v), want %q", query, got, err, value)
		}
	}
}
