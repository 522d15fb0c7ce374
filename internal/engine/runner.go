package engine

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// Runner is how an operator wants the methods to be run on one agent. The zero
// value is a usual one.
type Runner struct {
	Strategies []Strategy          // the closest that fits decides; none fits: what the datastore's own tool makes
	Options    map[Method][]string // extra options of the tool, as CheckOption lets them pass
	Databases  []string            // MySQLDump: these alone; none is all
	NoAccounts bool                // MySQLDump: without the database mysql
	Polite     coffer.Polite       // of every instance that says nothing else
	PreHook    []string            // program and arguments, run before the tool
	PostHook   []string            // and after it
	HookWait   time.Duration       // how long a hook may take; 0 is a minute
}

// Strategy chooses a method for a datastore, or for one version of it.
type Strategy struct {
	Datastore, Version string // "" is any
	Method             Method
}

// ParseStrategy reads "MariaBackup", "mariadb=MySQLDump" or "mariadb-10.6=InnoBackupEx".
func ParseStrategy(text string) (s Strategy, err error) {
	where, name, ok := strings.Cut(text, "=")
	if !ok {
		where, name = "", text
	}
	s.Datastore, s.Version, _ = strings.Cut(strings.TrimSpace(where), "-")
	s.Method, err = coffer.ParseMethod(strings.TrimSpace(name))
	return s, err
}

// Choose gives the method for a datastore: without a strategy, that of its own tool.
func (r Runner) Choose(d coffer.Datastore) Method {
	var best Strategy
	rank := -1
	for _, s := range r.Strategies {
		if s.Datastore != "" && s.Datastore != d.Type || s.Version != "" && s.Version != d.Version {
			continue
		}
		n := 0
		if s.Datastore != "" {
			n++
		}
		if s.Version != "" {
			n++
		}
		if n > rank {
			best, rank = s, n
		}
	}
	switch {
	case rank >= 0:
		return best.Method
	case d.Type == "mysql" || d.Type == "percona":
		return XtraBackup
	}
	return MariaBackup
}

// optionKind is what an option's value may look like.
type optionKind int

const (
	flagOption   optionKind = iota // no value
	numberOption                   // digits
	sizeOption                     // digits and K, M or G
	wordOption                     // small letters, digits and - _
)

// physicalOptions are those of mariadb-backup that change how it works and nothing
// that it reads, writes, loads, runs or connects to.
var physicalOptions = map[string]optionKind{
	"parallel": numberOption, "throttle": numberOption, "log-copy-interval": numberOption,
	"lock-wait-timeout": numberOption, "ftwrl-wait-timeout": numberOption, "ftwrl-wait-threshold": numberOption,
	"ftwrl-wait-query-type": wordOption, "kill-long-queries-timeout": numberOption, "kill-long-query-type": wordOption,
	"safe-slave-backup": flagOption, "safe-slave-backup-timeout": numberOption, "slave-info": flagOption,
	"galera-info": flagOption, "open-files-limit": numberOption,
}

// perconaOptions are the same of xtrabackup's.
var perconaOptions = map[string]optionKind{
	"parallel": numberOption, "throttle": numberOption, "ftwrl-wait-timeout": numberOption, "ftwrl-wait-threshold": numberOption,
	"ftwrl-wait-query-type": wordOption, "kill-long-queries-timeout": numberOption, "kill-long-query-type": wordOption,
	"lock-ddl-timeout": numberOption, "backup-lock-timeout": numberOption, "backup-lock-retry-count": numberOption,
	"safe-slave-backup": flagOption, "safe-slave-backup-timeout": numberOption, "slave-info": flagOption,
	"galera-info": flagOption, "open-files-limit": numberOption,
}

// options are what an operator may add, for each method.
var options = map[Method]map[string]optionKind{
	MariaBackup: physicalOptions,
	XtraBackup:  perconaOptions,
	InnoBackupEx: {
		"parallel": numberOption, "throttle": numberOption, "safe-slave-backup": flagOption,
		"safe-slave-backup-timeout": numberOption, "slave-info": flagOption, "galera-info": flagOption,
	},
	MySQLDump: {
		"net-buffer-length": sizeOption, "max-allowed-packet": sizeOption, "hex-blob": flagOption,
		"order-by-primary": flagOption, "order-by-size": flagOption, "extended-insert": flagOption, "skip-extended-insert": flagOption,
		"complete-insert": flagOption, "insert-ignore": flagOption, "compress": flagOption,
	},
}

// CheckOption refuses an extra option that is not in the method's list, or whose
// value is not of its type. No option with a path, a plugin, a file of defaults, an
// account or a command is in any list.
func CheckOption(m Method, text string) error {
	const op = "check an extra option of the tool"
	name, ok := strings.CutPrefix(text, "--")
	if !ok {
		return coffer.E(coffer.KindInvalid, op, "%.80q is no long option", text).WithHint("it looks like --parallel=2")
	}
	name, value, given := strings.Cut(name, "=")
	kind, known := options[m][strings.ReplaceAll(name, "_", "-")]
	if !known {
		return coffer.E(coffer.KindForbidden, op, "%s may not be given --%.60s", m.Class(false), name).
			WithHint("it may be given: %s", strings.Join(optionNames(m), ", "))
	}
	if !kind.fits(value, given) {
		return coffer.E(coffer.KindInvalid, op, "--%s cannot be %.60q", name, value)
	}
	return nil
}

func optionNames(m Method) []string {
	var names []string
	for name := range options[m] {
		names = append(names, "--"+name)
	}
	slices.Sort(names)
	return names
}

func (k optionKind) fits(value string, given bool) bool {
	const digits = "0123456789"
	switch k {
	case flagOption:
		return !given
	case numberOption:
		_, err := strconv.ParseUint(value, 10, 31)
		return err == nil
	case sizeOption:
		_, err := strconv.ParseUint(strings.TrimRight(value, "KMG"), 10, 31)
		return err == nil && len(value)-len(strings.TrimRight(value, "KMG")) <= 1
	}
	return value != "" && len(value) <= 32 && strings.Trim(strings.ToLower(value), digits+"abcdefghijklmnopqrstuvwxyz_-") == ""
}

// Check says what is wrong with r, so that a configuration and a run judge alike.
func (r Runner) Check() error {
	const op = "check how backups are run"
	for m, list := range r.Options {
		for _, text := range list {
			if err := CheckOption(m, text); err != nil {
				return err
			}
		}
	}
	for _, name := range r.Databases {
		if name == "" || len(name) > 64 || strings.HasPrefix(name, "-") || strings.ContainsAny(name, "\x00\n`") {
			return coffer.E(coffer.KindInvalid, op, "%.70q is no database's name", name)
		}
	}
	if err := r.Polite.Check(); err != nil {
		return err
	}
	for _, hook := range [][]string{r.PreHook, r.PostHook} {
		if err := checkHook(hook); err != nil {
			return err
		}
	}
	return nil
}

// shells are programs that run what they are told in an argument.
var shells = []string{"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox", "env", "sudo", "su", "perl", "python", "python3"}

// checkHook wants a program by its path: no shell reads a hook.
func checkHook(hook []string) error {
	const op = "check a hook"
	if len(hook) == 0 {
		return nil
	}
	base := hook[0][strings.LastIndexByte(hook[0], '/')+1:]
	switch {
	case !strings.HasPrefix(hook[0], "/"):
		return coffer.E(coffer.KindInvalid, op, "%.80q is no absolute path", hook[0]).WithHint("name the program by its whole path")
	case slices.Contains(shells, base):
		return coffer.E(coffer.KindForbidden, op, "%s runs whatever it is told", hook[0]).WithHint("write a script of your own, and name that")
	}
	return nil
}
