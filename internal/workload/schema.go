package workload

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
	"strings"

	"github.com/cofferdb/coffer"
)

// DefaultSchema is where the tables are made unless asked otherwise.
const DefaultSchema = "shop"

var reSchema = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)

// useSchema gives the name to use, which needs no quotes.
func useSchema(name string) (string, error) {
	if name == "" {
		name = DefaultSchema
	}
	if !reSchema.MatchString(name) {
		return "", coffer.E(coffer.KindInvalid, "choose a schema", "%q is no plain name", name)
	}
	return name, nil
}

// table is one table whose rows carry who wrote them last: w, seq and a crc of
// everything; all zero for the rows that Fill made.
type table struct {
	tag     string // in a transaction's effects
	name    string
	content string // the column that holds the row's own bytes
}

func transactional() []table {
	return []table{{"c", "customers", "note"}, {"o", "orders", "note"}, {"e", "events", "payload"}, {"d", "documents", "body"}}
}

func nonTransactional() []table {
	return []table{{"a", "audit", "note"}, {"h", "hits", "note"}}
}

const (
	stamp  = "w INT NOT NULL DEFAULT 0, seq BIGINT NOT NULL DEFAULT 0, crc INT UNSIGNED NOT NULL DEFAULT 0"
	days   = 40 // values of events.day
	shards = 4  // of orders
)

// ddl is the whole shop.
func ddl(schema string) []string {
	create := func(name, columns, rest string) string {
		return fmt.Sprintf("CREATE TABLE %s.%s (%s, %s) %s", schema, name, columns, stamp, rest)
	}
	const charset = " DEFAULT CHARSET=latin1"
	var parts []string
	for d := 10; d < days; d += 10 {
		parts = append(parts, fmt.Sprintf("PARTITION d%d VALUES LESS THAN (%d)", d, d))
	}
	parts = append(parts, "PARTITION later VALUES LESS THAN MAXVALUE")
	return []string{
		"CREATE DATABASE " + schema,
		create("customers", "id BIGINT PRIMARY KEY, email VARCHAR(80) NOT NULL, country CHAR(2) NOT NULL, balance INT NOT NULL, note VARCHAR(600) NOT NULL, KEY (email), KEY (country, balance)",
			"ENGINE=InnoDB"+charset),
		create("orders", "id BIGINT PRIMARY KEY, customer BIGINT NOT NULL, status INT NOT NULL, note VARCHAR(600) NOT NULL, KEY (customer), KEY (status, customer)",
			"ENGINE=InnoDB"+charset+fmt.Sprintf(" PARTITION BY HASH (id) PARTITIONS %d", shards)),
		create("events", "id BIGINT NOT NULL, day INT NOT NULL, kind INT NOT NULL, payload VARCHAR(600) NOT NULL, PRIMARY KEY (id, day), KEY (kind)",
			"ENGINE=InnoDB"+charset+" PARTITION BY RANGE (day) ("+strings.Join(parts, ", ")+")"),
		create("documents", "id BIGINT PRIMARY KEY, name VARCHAR(80) NOT NULL, body LONGBLOB NOT NULL, KEY (name)", "ENGINE=InnoDB"+charset),
		create("audit", "id BIGINT PRIMARY KEY, note VARCHAR(600) NOT NULL", "ENGINE=Aria TRANSACTIONAL=1"+charset),
		create("hits", "id BIGINT PRIMARY KEY, note VARCHAR(600) NOT NULL", "ENGINE=MyISAM"+charset),
		fmt.Sprintf("CREATE TABLE %s.ledger (worker INT NOT NULL, seq BIGINT NOT NULL, effects VARCHAR(600) NOT NULL, crc INT UNSIGNED NOT NULL, PRIMARY KEY (worker, seq)) ENGINE=InnoDB%s", schema, charset),
	}
}

// rowCRC binds a row's content to its place and its writer; rowCRCSQL is the same
// in the server.
func rowCRC(id int64, w int, seq int64, content []byte) uint32 {
	head := strconv.FormatInt(id, 10) + "|" + strconv.Itoa(w) + "|" + strconv.FormatInt(seq, 10) + "|"
	return crc32.Update(crc32.ChecksumIEEE([]byte(head)), crc32.IEEETable, content)
}

func rowCRCSQL(t table) string {
	return "CRC32(CONCAT(id, '|', w, '|', seq, '|', " + t.content + "))"
}

// ledgerCRC binds a ledger row's parts.
func ledgerCRC(worker int, seq int64, effects string) uint32 {
	return crc32.ChecksumIEEE([]byte(strconv.Itoa(worker) + "|" + strconv.FormatInt(seq, 10) + "|" + effects))
}

func exec(ctx context.Context, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, statements ...string,
) error {
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%.60s…: %w", s, err)
		}
	}
	return nil
}
