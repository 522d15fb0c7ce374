package host

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"fmt"
	"os"
	"strings"

	"github.com/cofferdb/coffer"
)

// AccountUser is the agent's account in every hosted server, at localhost. The
// name is unlikely to be one of the source's, since a restore keeps those.
const AccountUser = "coffer_host"

// newAccount writes the credentials file and an init file that makes the account.
// The init file holds the password's hash only, can be read by the server alone,
// and is run before the server takes connections.
func (h *Host) newAccount(s Slot) (initFile string, err error) {
	password := rand.Text()
	cred := fmt.Sprintf("[client]\nuser=%s\npassword=%s\n", AccountUser, password)
	if err := writeFile(s.Conn().CredentialsFile, []byte(cred), 0o600); err != nil {
		return "", err
	}
	who := "'" + AccountUser + "'@'localhost'"
	sql := "SET SESSION sql_log_bin = 0;\n" +
		"CREATE OR REPLACE USER " + who + " IDENTIFIED BY PASSWORD '" + nativeHash(password) + "';\n" +
		"GRANT ALL PRIVILEGES ON *.* TO " + who + " WITH GRANT OPTION;\n"
	path := s.file("init.sql")
	if err := writeFile(path, []byte(sql), 0o600); err != nil {
		return "", err
	}
	return path, h.give(s, path)
}

// nativeHash is how mysql_native_password keeps a password.
func nativeHash(password string) string {
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	return fmt.Sprintf("*%X", twice)
}

// readAccount reads the password back from the credentials file.
func readAccount(s Slot) (password string, err error) {
	return readPassword(s.Conn().CredentialsFile)
}

func readPassword(file string) (password string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", coffer.Wrap("read the agent's account", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "password="); ok {
			return v, nil
		}
	}
	return "", coffer.E(coffer.KindCorrupt, "read the agent's account", "%s holds no password", file)
}
