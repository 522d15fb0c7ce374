package trovedb_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/records"
	"github.com/cofferdb/coffer/internal/testenv"
	"github.com/cofferdb/coffer/internal/trovedb"
)

// tables are those of Trove 18, as far as they are read.
var tables = []string{
	`CREATE TABLE datastores (id VARCHAR(36) PRIMARY KEY, name VARCHAR(255))`,
	`CREATE TABLE datastore_versions (id VARCHAR(36) PRIMARY KEY, datastore_id VARCHAR(36), name VARCHAR(255))`,
	`CREATE TABLE backups (id VARCHAR(36) PRIMARY KEY, name VARCHAR(255) NOT NULL, description VARCHAR(512), location VARCHAR(1024),
		backup_type VARCHAR(32), size FLOAT, tenant_id VARCHAR(36), state VARCHAR(32) NOT NULL, instance_id VARCHAR(36), checksum VARCHAR(32),
		deleted BOOLEAN, created {time}, updated {time}, parent_id VARCHAR(36), datastore_version_id VARCHAR(36))`,
	`CREATE TABLE backup_strategy (id VARCHAR(36) PRIMARY KEY, tenant_id VARCHAR(36), instance_id VARCHAR(36), backend VARCHAR(255), swift_container VARCHAR(255))`,
	`CREATE TABLE quotas (id VARCHAR(36) PRIMARY KEY, tenant_id VARCHAR(36), resource VARCHAR(255), hard_limit INTEGER)`,
}

const (
	shop   = "0123456789abcdef0123456789abcdef"
	other  = "fedcba9876543210fedcba9876543210"
	server = "44b277eb-39be-4921-be31-3d61b43651d7"
)

func uuid(n string) string {
	return "00000000-0000-4000-8000-" + strings.Repeat("0", 12-len(n)) + n
}

// rows are what the tables hold: what can be taken, and one of each that cannot.
func rows() []string {
	at := func(id, project, kind, state, parent string) string {
		if parent == "" {
			parent = "NULL"
		} else {
			parent = "'" + uuid(parent) + "'"
		}
		return `INSERT INTO backups (id, name, description, location, size, tenant_id, state, instance_id, checksum, deleted, created, updated, parent_id, datastore_version_id)
			VALUES ('` + uuid(id) + `', 'b` + id + `', NULL, 'https://swift/v1/AUTH_` + project + `/database_backups/` + uuid(id) + kind + `', 1.5, '` + shop + `', '` + state + `',
			'` + server + `', 'ABCDEF', {false}, '2017-03-0` + id[:1] + ` 01:02:03', '2017-03-04 05:06:07', ` + parent + `, 'v1')`
	}
	return []string{
		`INSERT INTO datastores VALUES ('d1', 'mariadb')`, `INSERT INTO datastore_versions VALUES ('v1', 'd1', '10.11')`,
		at("2", shop, ".xbstream.gz", "COMPLETED", "1"), // before its parent
		at("1", shop, ".xbstream.gz.enc", "COMPLETED", ""),
		at("3", shop, ".tar.gz", "COMPLETED", ""),
		at("4", shop, ".xbstream.gz", "FAILED", ""),
		at("5", other, ".xbstream.gz", "COMPLETED", ""),
		at("6", shop, ".xbstream.gz", "COMPLETED", "4"),
		at("7", shop, ".xbstream.gz", "COMPLETED", "8"), // these two stand on each other
		at("8", shop, ".xbstream.gz", "COMPLETED", "7"),
		at("9", shop, ".xbstream.gz", "BUILDING", ""),
		`INSERT INTO backups (id, name, tenant_id, state, deleted) VALUES ('` + uuid("99") + `', 'gone', '` + shop + `', 'COMPLETED', {true})`,
		`INSERT INTO backup_strategy VALUES ('1', '` + shop + `', '', 'swift', 'night'), ('2', '` + shop + `', '` + server + `', 'swift', 'day'), ('3', '` + other + `', '', 'cinder', 'x')`,
		`INSERT INTO quotas VALUES ('1', '` + shop + `', 'backups', 7), ('2', '` + shop + `', 'instances', 3), ('3', '` + other + `', 'backups', -1), ('4', '', 'backups', 5)`,
	}
}

func fill(t *testing.T, db *sql.DB, words ...string) {
	t.Helper()
	put := strings.NewReplacer(words...)
	for _, query := range append(append([]string{}, tables...), rows()...) {
		if _, err := db.ExecContext(t.Context(), put.Replace(query)); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

// takeOver takes a database over, again and again.
func takeOver(t *testing.T, address string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	raw, err := trovedb.ReadURL(file)
	if err != nil {
		t.Fatal(err)
	}
	db, err := trovedb.Open(raw, false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	content, err := trovedb.Read(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	p := trovedb.Judge(content, trovedb.Rules{Store: "far"})
	own, err := records.OpenSource(t.Context(), records.Source{Path: filepath.Join(t.TempDir(), "records.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	take := func(dry bool) trovedb.Report {
		t.Helper()
		r, err := trovedb.Take(t.Context(), own, p, time.Now(), dry)
		if err != nil {
			t.Fatal(err)
		}
		left := []string{}
		for _, l := range r.Left {
			left = append(left, l.What+" "+strings.TrimLeft(l.ID[max(0, len(l.ID)-2):], "0"))
		}
		want := []string{"backup 3", "backup 4", "backup 5", "backup 6", "backup 8", "backup 7", "backup 9", "strategy /", "quota "}
		if d := cmp.Diff(want, left); d != "" {
			t.Errorf("left (-want +got):\n%s\n%v", d, r.Left)
		}
		r.Left = nil
		return r
	}
	first, again := trovedb.Report{Backups: 2, Strategies: 2, Quotas: 2}, trovedb.Report{Known: 2, Same: 4}
	for i, c := range []struct {
		dry  bool
		want trovedb.Report
	}{{true, first}, {false, first}, {false, again}, {true, again}} {
		if d := cmp.Diff(c.want, take(c.dry)); d != "" {
			t.Errorf("time %d (-want +got):\n%s", i, d)
		}
	}
	taken(t, own)
}

func taken(t *testing.T, own *records.DB) {
	t.Helper()
	b, err := own.Backup(t.Context(), shop, coffer.BackupID(uuid("2")))
	if err != nil {
		t.Fatal(err)
	}
	want := coffer.Backup{
		ID: coffer.BackupID(uuid("2")), Project: shop, Instance: server, Name: "b2", State: coffer.New, Origin: coffer.OriginTrove,
		Parent: coffer.BackupID(uuid("1")), Root: coffer.BackupID(uuid("2")), Type: "incremental", Store: "far", Container: "database_backups",
		Datastore: coffer.Datastore{Type: "mariadb", Version: "10.11", VersionID: "v1"}, Checksum: "abcdef",
		Location: "https://swift/v1/AUTH_" + shop + "/database_backups/" + uuid("2") + ".xbstream.gz",
		Sizes:    coffer.Sizes{Data: 3 << 29}, Created: time.Date(2017, 3, 2, 1, 2, 3, 0, time.UTC), Updated: b.Updated,
	}
	if d := cmp.Diff(want, b); d != "" {
		t.Errorf("the backup (-want +got):\n%s", d)
	}
	s, err := own.Strategies(t.Context(), shop, nil)
	if err != nil || len(s) != 2 || s[0].Container != "night" || s[1].Instance != server {
		t.Errorf("the strategies are %+v (%v)", s, err)
	}
	if n, err := own.Quota(t.Context(), shop); n != 7 || err != nil {
		t.Errorf("the quota is %d (%v)", n, err)
	}
}

// TestSQLite takes Trove's database over: ids, chains and times stay, a second time
// changes nothing, a plan writes nothing, and what cannot be taken is listed.
func TestSQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trove.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fill(t, db, "{time}", "DATETIME", "{false}", "0", "{true}", "1")
	takeOver(t, "sqlite:///"+path)
}

// TestReadURL: the address is the first line, or a trove.conf's, and no error holds it.
func TestReadURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mysql+pymysql://u:secret@h/trove\n":                                        "mysql+pymysql://u:secret@h/trove",
		"[DEFAULT]\nconnection = x\n[database]\n connection = mysql://u:secret@h/t": "mysql://u:secret@h/t",
		"[DEFAULT]\ntransport_url = rabbit://u:secret@h\n":                          "",
		"": "",
	} {
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := trovedb.ReadURL(file)
		if got != want || (err != nil) != (want == "") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, raw := range []string{"oracle://u:secret@h/x", "mysql://u:secret@h:port/x", "sqlite:////nowhere", "postgresql://u:secret@\x7f/x"} {
		db, err := trovedb.Open(raw, true)
		if err == nil {
			db.Close()
			t.Errorf("%q opens", raw)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error holds the password: %v", raw, err)
		}
	}
}

// TestHeavyServers does the same with MariaDB and PostgreSQL.
func TestHeavyServers(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("long: set COFFER_HEAVY=1")
	}
	t.Run("MariaDB", func(t *testing.T) {
		s := testenv.MariaDB(t, testenv.MariaDBOptions{})
		s.Exec(t, "CREATE DATABASE trove", "CREATE USER 'trove'@'127.0.0.1' IDENTIFIED BY 'se:cret'", "GRANT ALL ON trove.* TO 'trove'@'127.0.0.1'")
		address := fmt.Sprintf("mysql+pymysql://trove:se%%3Acret@127.0.0.1:%d/trove?charset=utf8", s.Port)
		db, err := trovedb.Open(address, false)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		fill(t, db, "{time}", "DATETIME", "{false}", "0", "{true}", "1")
		takeOver(t, address)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		s := testenv.PostgreSQL(t, testenv.PostgresOptions{})
		address := strings.Replace(s.Database(t), "@", ":"+testenv.PostgresPassword+"@", 1)
		db, err := trovedb.Open(address, false)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		fill(t, db, "{time}", "TIMESTAMP", "{false}", "false", "{true}", "true")
		takeOver(t, address)
	})
}
