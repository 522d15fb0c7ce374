package records

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/cofferdb/coffer"
)

// openPostgres gives a pool of a PostgreSQL database. Its sessions read what is
// committed (the conditional changes rest on that), wait for a lock for a bounded
// time, and let go of their locks when their process was stopped in mid-transaction.
func openPostgres(u *url.URL, s Source) (*sql.DB, error) {
	address := *u
	address.RawQuery = "sslmode=disable" // for the library's parser; TLS is set below
	cfg, err := pgx.ParseConfig(address.String())
	if err != nil {
		return nil, coffer.E(coffer.KindInvalid, "read where the records are", "the address is not one of PostgreSQL")
	}
	cfg.Password, cfg.TLSConfig, cfg.Fallbacks = s.Password, s.tlsFor(u), nil
	cfg.ConnectTimeout = dialTime
	cfg.RuntimeParams = map[string]string{
		"application_name":                    "coffer",
		"default_transaction_isolation":       "read committed",
		"idle_in_transaction_session_timeout": "15s",
		"lock_timeout":                        "10s",
	}
	return stdlib.OpenDB(*cfg), nil
}

const (
	hintServer  = "look at the server that holds the records; Coffer tries again"
	hintAccount = "look at the records' address and password, and at the account's rights there"
	hintSpace   = "make room on the server that holds the records"
	hintText    = "leave out what is no text, or shorten it"
)

// postgresTrouble reads an error of PostgreSQL or of its connection, by its
// SQLSTATE.
func postgresTrouble(err error) (trouble, bool) {
	e, is := errors.AsType[*pgconn.PgError](err)
	if !is {
		return connectionTrouble(err)
	}
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization, deadlock, no lock in time
		return trouble{kind: coffer.KindUnavailable, hint: "others changed the same rows; try again", busy: true}, true
	case "23505":
		return trouble{taken: true}, true
	case "25P03", "57P01", "57P02", "57P03", "57P05": // the server ended the session, or is not up yet
		return trouble{kind: coffer.KindUnavailable, hint: hintServer, lost: true}, true
	case "25006", "57014": // read-only, interrupted
		return trouble{kind: coffer.KindUnavailable, hint: hintServer}, true
	case "53100":
		return trouble{kind: coffer.KindNoSpace, hint: hintSpace}, true
	case "3D000", "3F000", "42501":
		return trouble{kind: coffer.KindUnavailable, hint: hintAccount}, true
	case "XX001", "XX002":
		return trouble{kind: coffer.KindCorrupt, hint: hintServer}, true
	case "22001", "22021", "22P05":
		return trouble{kind: coffer.KindInvalid, hint: hintText}, true
	}
	switch {
	case strings.HasPrefix(e.Code, "08"):
		return trouble{kind: coffer.KindUnavailable, hint: hintServer, lost: true}, true
	case strings.HasPrefix(e.Code, "28"):
		return trouble{kind: coffer.KindUnavailable, hint: hintAccount}, true
	case strings.HasPrefix(e.Code, "53"), strings.HasPrefix(e.Code, "58"):
		return trouble{kind: coffer.KindUnavailable, hint: hintServer}, true
	}
	return trouble{}, true
}

// connectionTrouble reads what a connection says, whoever's it is. One that could
// not be made is not lost: the caller is told at once.
func connectionTrouble(err error) (trouble, bool) {
	_, refused := errors.AsType[*pgconn.ConnectError](err)
	op, network := errors.AsType[*net.OpError](err)
	if refused || network && op.Op == "dial" {
		return trouble{kind: coffer.KindUnavailable, hint: hintServer}, true
	}
	if errors.Is(err, driver.ErrBadConn) || network || pgconn.SafeToRetry(err) || isCut(err) {
		return trouble{kind: coffer.KindUnavailable, hint: hintServer, lost: true}, true
	}
	return trouble{}, false
}
