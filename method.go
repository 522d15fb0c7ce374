package coffer

import "strings"

// Method is the kind of tool that makes a backup, by the word that manifests have.
type Method string

// The methods.
const (
	MariaBackup  Method = "mariabackup"  // mariadb-backup
	InnoBackupEx Method = "innobackupex" // mariadb-backup in the old tool's mode; for MySQL the old tool itself
	XtraBackup   Method = "xtrabackup"   // Percona's tool, for MySQL and Percona Server
	MySQLDump    Method = "mysqldump"    // mariadb-dump
)

// classes are Trove's names of the runners, the one of a full first. A dump has no
// other.
var classes = map[Method][2]string{
	MariaBackup:  {"MariaBackup", "MariaBackupIncremental"},
	InnoBackupEx: {"InnoBackupEx", "InnoBackupExIncremental"},
	XtraBackup:   {"XtraBackup", "XtraBackupIncremental"},
	MySQLDump:    {"MySQLDump", "MySQLDump"},
}

// Methods are all methods, the default first.
func Methods() []Method { return []Method{MariaBackup, InnoBackupEx, XtraBackup, MySQLDump} }

// ParseMethod takes a manifest's word or one of Trove's names, in any case and with
// the modules before it: "trove.guestagent.strategies.backup.mysql_impl.InnoBackupEx".
func ParseMethod(name string) (Method, error) {
	const op = "read a backup method's name"
	last := strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
	for _, m := range Methods() {
		for _, class := range classes[m] {
			if last == string(m) || last == strings.ToLower(class) {
				return m, nil
			}
		}
	}
	return "", E(KindInvalid, op, "there is no method %.60q", name).
		WithHint("it is MariaBackup, InnoBackupEx, XtraBackup or MySQLDump")
}

// Class is Trove's name of the runner: what an agent of its old eras reports as
// backup_type, and by which it restores.
func (m Method) Class(increment bool) string {
	if increment {
		return classes[m][1]
	}
	return classes[m][0]
}

// TroveType is a backup's backup_type: the runner's class in the eras of Trove's
// agents, and since Victoria, whose containers choose the tool, the kind.
func (m Method) TroveType(increment, container bool) string {
	switch {
	case !container:
		return m.Class(increment)
	case increment:
		return "incremental"
	}
	return "full"
}

// Increments reports whether the method can make an increment.
func (m Method) Increments() bool { return m != MySQLDump }

// Stream is what the method's plain stream is, as manifests say it.
func (m Method) Stream() string {
	if m == MySQLDump {
		return "sql"
	}
	return "xbstream"
}

// NoIncrement is the error for who asks a method for an increment that has none.
func NoIncrement(m Method) error {
	return E(KindInvalid, "choose the method", "%s writes a whole dump each time: it never makes an increment", m.Class(false)).
		WithHint("ask for a full backup, or for MariaBackup, InnoBackupEx or XtraBackup")
}
