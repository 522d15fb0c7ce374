package engine_test

import (
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
)

func TestMethodsByTrovesNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]engine.Method{
		"InnoBackupEx": engine.InnoBackupEx, "innobackupex": engine.InnoBackupEx, "InnoBackupExIncremental": engine.InnoBackupEx,
		"XtraBackup": engine.XtraBackup, "xtrabackup": engine.XtraBackup, "XtraBackupIncremental": engine.XtraBackup,
		"MariaBackup": engine.MariaBackup, "mariabackup": engine.MariaBackup, "MariaBackupIncremental": engine.MariaBackup,
		"trove.guestagent.strategies.backup.mysql_impl.MySQLDump": engine.MySQLDump,
	} {
		if got, err := coffer.ParseMethod(name); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	for name, kind := range map[string]coffer.Kind{"MongoDump": coffer.KindInvalid, "": coffer.KindInvalid} {
		if _, err := coffer.ParseMethod(name); !coffer.IsKind(err, kind) || coffer.HintOf(err) == "" {
			t.Errorf("%q: %v", name, err)
		}
	}
	for want, got := range map[string]string{
		"InnoBackupExIncremental": engine.InnoBackupEx.TroveType(true, false), "InnoBackupEx": engine.InnoBackupEx.TroveType(false, false),
		"incremental": engine.MariaBackup.TroveType(true, true), "full": engine.MariaBackup.TroveType(false, true),
		"MySQLDump": engine.MySQLDump.TroveType(false, false),
	} {
		if got != want {
			t.Errorf("backup_type %q, want %q", got, want)
		}
	}
}

func TestStrategies(t *testing.T) {
	t.Parallel()
	var r engine.Runner
	for _, text := range []string{"InnoBackupEx", "mariadb=MySQLDump", "mariadb-10.6 = MariaBackup"} {
		s, err := engine.ParseStrategy(text)
		if err != nil {
			t.Fatal(err)
		}
		r.Strategies = append(r.Strategies, s)
	}
	for d, want := range map[coffer.Datastore]engine.Method{
		{Type: "mariadb", Version: "10.6"}: engine.MariaBackup, {Type: "mariadb", Version: "10.11"}: engine.MySQLDump,
		{Type: "other", Version: "10.6"}: engine.InnoBackupEx,
	} {
		if got := r.Choose(d); got != want {
			t.Errorf("%v is backed up by %s, want %s", d, got, want)
		}
	}
	for product, want := range map[string]engine.Method{"mariadb": engine.MariaBackup, "mysql": engine.XtraBackup, "percona": engine.XtraBackup} {
		if got := (engine.Runner{}).Choose(coffer.Datastore{Type: product}); got != want {
			t.Errorf("the default of %s is %s", product, got)
		}
	}
}

// What names a path, a plugin, a file of defaults, an account or a shell is refused.
func TestOptionsAreAllowListed(t *testing.T) {
	t.Parallel()
	for _, m := range coffer.Methods() {
		for _, bad := range []string{
			"--defaults-file=/tmp/x", "--defaults-extra-file=/x", "--defaults-group-suffix=x", "--plugin-dir=/tmp", "--plugin-load=x",
			"--user=root", "-uroot", "--password=x", "-px", "--host=evil", "--socket=/x", "--port=1", "--init-command=DROP", "--datadir=/",
			"--target-dir=/etc", "--result-file=/etc/passwd", "-r/etc/passwd", "--tab=/tmp", "--tmpdir=/x", "--rsync", "--move-back",
			"--innobackupex", "--stream=tar", "--incremental-basedir=/", "--encrypt-key=a", "--ssl-key=/x", "--compress=`id`",
			"--parallel=2;id", "--parallel=$(id)", "--parallel=-1", "--parallel", "parallel=2", "", "--", "--throttle=4 --user=x", "--log-error=/x",
		} {
			if err := engine.CheckOption(m, bad); err == nil {
				t.Errorf("%s takes %q", m, bad)
			}
		}
	}
	for m, good := range map[engine.Method][]string{
		engine.MariaBackup:  {"--parallel=2", "--throttle=100", "--ftwrl-wait-query-type=all", "--galera_info"},
		engine.InnoBackupEx: {"--parallel=2", "--slave-info"},
		engine.MySQLDump:    {"--hex-blob", "--net-buffer-length=16K", "--skip-extended-insert"},
	} {
		for _, text := range good {
			if err := engine.CheckOption(m, text); err != nil {
				t.Errorf("%s: %v", m, err)
			}
		}
	}
}

func TestRunnerIsChecked(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]engine.Runner{
		"option":         {Options: map[engine.Method][]string{engine.MySQLDump: {"--tab=/tmp"}}},
		"database":       {Databases: []string{"--tab=/tmp"}},
		"nice":           {Polite: coffer.Polite{Nice: -5}},
		"ionice":         {Polite: coffer.Polite{IONice: "realtime"}},
		"bandwidth":      {Polite: coffer.Polite{Bandwidth: 1 << 10}},
		"parallel":       {Polite: coffer.Polite{Parallel: 65}},
		"throttle":       {Polite: coffer.Polite{Throttle: -1}},
		"relative hook":  {PreHook: []string{"flush"}},
		"shell as hook":  {PostHook: []string{"/bin/sh", "-c", "id"}},
		"interpreter":    {PreHook: []string{"/usr/bin/env", "sh"}},
		"empty database": {Databases: []string{""}},
	} {
		if err := r.Check(); err == nil {
			t.Errorf("%s: %+v passes", name, r)
		}
	}
	good := engine.Runner{Polite: coffer.Polite{Nice: 10, IONice: "idle"}, PreHook: []string{"/usr/local/bin/quiesce", "now"}, Databases: []string{"we ird"}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}

// What an instance asks for wins over its agent's configuration, key by key.
func TestRunnerForAnInstance(t *testing.T) {
	t.Parallel()
	r := engine.Runner{Polite: coffer.Polite{Bandwidth: 1 << 20, Nice: 5, IONice: "idle"}, HookWait: 1}
	got := r.For(coffer.Polite{Bandwidth: 2 << 20, Parallel: 3, Throttle: 9})
	want := coffer.Polite{Bandwidth: 2 << 20, Nice: 5, IONice: "idle", Parallel: 3, Throttle: 9}
	if got.Polite != want || got.HookWait != 1 || r.Polite.Parallel != 0 {
		t.Errorf("%+v of %+v", got, r)
	}
}
