package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdb/coffer/internal/config"
	"github.com/cofferdb/coffer/internal/engine"
)

func agentOf(t *testing.T, line string) config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "coffer.toml")
	if err := os.WriteFile(path, []byte("[agent]\n"+line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What a run would refuse, a check names at its key.
func TestRunnerKeys(t *testing.T) {
	t.Parallel()
	for line, key := range map[string]string{
		`backup_strategy = ["MongoDump"]`:                                       "backup_strategy",
		`backup_strategy = ["mariadb=NoSuch"]`:                                  "backup_strategy",
		`backup_incremental_strategy = ["InnoBackupEx=MariaBackup"]`:            "backup_incremental_strategy",
		`backup_incremental_strategy = ["MySQLDump=MySQLDump"]`:                 "backup_incremental_strategy",
		`backup_runner_options = ["MariaBackup: --parallel=2 --plugin-dir=/x"]`: "backup_runner_options",
		`backup_runner_options = ["MySQLDump: --password=x"]`:                   "backup_runner_options",
		`dump_databases = ["-r/etc/passwd"]`:                                    "dump_databases",
		`nice = 20`:                                                             "nice",
		`bandwidth = "1 KiB"`:                                                   "bandwidth",
		`parallel = 1000`:                                                       "parallel",
		`throttle = -1`:                                                         "throttle",
		`ionice = "realtime"`:                                                   "ionice",
		`pre_backup_hook = ["sh", "-c", "id"]`:                                  "pre_backup_hook",
		`post_backup_hook = ["/bin/bash"]`:                                      "post_backup_hook",
	} {
		c := agentOf(t, line)
		problems := c.Check(config.RoleServer)
		found := false
		for _, p := range problems {
			found = found || p.Key == "agent."+key && p.Line == 2
		}
		if _, err := c.Agent.Runner(); !found || err == nil {
			t.Errorf("%s: problems %v, at run time %v", line, problems, err)
		}
	}
	r, err := agentOf(t, `backup_strategy = ["MySQLDump"]
backup_incremental_strategy = ["InnoBackupEx=InnoBackupExIncremental"]
backup_runner_options = ["MySQLDump: --hex-blob --net-buffer-length=16K"]`).Agent.Runner()
	if err != nil || len(r.Options[engine.MySQLDump]) != 2 || r.Strategies[0].Method != engine.MySQLDump || r.NoAccounts {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestImportStrategies(t *testing.T) {
	t.Parallel()
	im, err := config.ImportTrove(strings.NewReader(`[mariadb]
backup_namespace = trove.guestagent.strategies.backup.experimental.mariadb_impl
backup_strategy = InnoBackupEx
backup_incremental_strategy = {'InnoBackupEx': 'InnoBackupExIncremental'}
[mysql]
backup_namespace = trove.guestagent.strategies.backup.mysql_impl
backup_strategy = XtraBackup
[percona]
backup_strategy = MongoDump
`), "/s")
	if err != nil || !strings.Contains(im.TOML, "[agent]\nbackup_strategy = [\"mariadb=InnoBackupEx\",\"mysql=XtraBackup\"]") || !strings.Contains(strings.Join(im.ToDo, "\n"), "MongoDump") {
		t.Errorf("%s\n%v %v", im.TOML, im.ToDo, err)
	}
}
