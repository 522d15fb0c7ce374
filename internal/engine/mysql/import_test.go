package mysql

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/engine"
	"github.com/cofferdb/coffer/internal/engine/enginetest"
	"github.com/cofferdb/coffer/internal/testenv"
)

// TestImportAtTheEndOfTheParentNeedsAFull imports a tablespace after the tool has
// copied it and before the engine asks the server for its tables. No increment
// holds a page of such an import, so the next one must be refused.
func TestImportAtTheEndOfTheParentNeedsAFull(t *testing.T) {
	t.Parallel()
	src := newSource(t, testenv.MariaDBOptions{})
	client := testenv.Need(t, "mariadb")[0]
	src.Exec(t, "USE shop; CREATE TABLE moved (id INT PRIMARY KEY, v VARCHAR(100)) ENGINE=InnoDB",
		"INSERT INTO moved SELECT seq, 'first' FROM seq_1_to_500", "CREATE TABLE donor LIKE moved",
		"INSERT INTO donor SELECT seq, 'second' FROM seq_1_to_500")
	keep := t.TempDir()
	copies := fmt.Sprintf("cp %[1]s/donor.ibd %[2]s/d.ibd\ncp %[1]s/donor.cfg %[2]s/d.cfg\n", filepath.Join(src.DataDir, "shop"), keep)
	if err := os.WriteFile(filepath.Join(keep, "copy"), []byte(copies), 0o600); err != nil {
		t.Fatal(err)
	}
	query := fmt.Sprintf("%s --no-defaults -uroot -S%s shop", client, src.Socket)
	script := `$REAL "$@" || exit 1
{ { echo 'FLUSH TABLES donor FOR EXPORT;'; echo 'system sh ` + keep + `/copy'; echo 'UNLOCK TABLES; ALTER TABLE moved DISCARD TABLESPACE;'; } | ` + query + `
cp -p ` + keep + `/d.ibd ` + src.DataDir + `/shop/moved.ibd; cp -p ` + keep + `/d.cfg ` + src.DataDir + `/shop/moved.cfg
chown --reference=` + src.DataDir + ` ` + src.DataDir + `/shop/moved.*
echo 'ALTER TABLE moved IMPORT TABLESPACE' | ` + query + `; } >` + keep + `/said 2>&1
echo "[00] 2026-01-01 00:00:00 completed OK!" >&2`
	e := withTool(t, src.Server, script)
	_, base := takeFull(t, e)
	var v string
	if err := src.DB(t).QueryRow("SELECT v FROM shop.moved WHERE id = 7").Scan(&v); err != nil || v != "second" {
		text, _ := os.ReadFile(filepath.Join(keep, "said"))
		t.Fatalf("the import did not happen: %q, %v\n%s", v, err, text)
	}
	src.Change(t)
	src.Exec(t, "SET GLOBAL innodb_log_checkpoint_now = 1") // else the tool finds the discard in the log, and leaves the table out
	_, err := engineOf(t, src.Server).Backup(t.Context(), &enginetest.Recorder{}, base, engine.Options{})
	if !coffer.IsKind(err, coffer.KindNeedFull) || coffer.HintOf(err) == "" {
		t.Errorf("an increment that lacks an import: %v", err)
	}
}
