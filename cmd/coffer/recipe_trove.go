package main

import (
	"fmt"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/trovestore"
	"github.com/cofferdb/coffer/rest"
)

// troveRecipe writes the recipe of a chain that Trove has written: there are no
// manifests, and the sums are those that were found when it was brought in.
func troveRecipe(chain []rest.Backup) (recipe, error) {
	const op = "write the recipe"
	out := recipe{
		Backup: chain[len(chain)-1].ID,
		Needs:  []string{"gzip, mbstream and mariadb-backup", "the swift client, logged in by its usual variables, OS_… or ST_…, to that account"},
	}
	var rows []string
	encrypted := false
	for n, b := range chain {
		if !b.State.Usable() {
			return recipe{}, coffer.E(coffer.KindConflict, op, "backup %s is %s", b.ID, b.State).WithHint("choose another backup")
		}
		l, err := trovestore.ParseLocation(b.Location)
		if err != nil {
			return recipe{}, coffer.Wrap(op, err)
		}
		encrypted = encrypted || strings.HasSuffix(l.Object, ".enc")
		rows = append(rows, fmt.Sprintf("%d %s %s %s", n, b.Manifest, l.Container, l.Object))
	}
	open := `opened() { cat $1; }`
	if encrypted {
		out.Needs = append(out.Needs, "openssl, and TROVE_KEY: the file with Trove's backup_aes_cbc_key")
		open = `opened() { case $2 in *.enc) for how in "-md md5" "-md sha256" "-md sha512 -pbkdf2 -iter 10000"; do ` +
			`dec() { openssl enc -d -aes-256-cbc $how -pass file:"$TROVE_KEY" -in $1 2>$1.log; }; ` +
			`case "$(dec $1 | head -c 8 | od -An -tx1 -w8)" in " 1f 8b 08"*|" 58 42 53 54 43 4b 30 31") dec $1; return;; esac; done; return 1;; *) cat $1;; esac; }`
	}
	out.Commands = []string{
		"set -euo pipefail; umask 077; " + open + "; printf '%s\\n' " + quoted(rows) + " >chain",
		`while read -r n sum box name; do swift -q download --output $n.data "$box" "$name" </dev/null; echo "$sum  $n.data" | sha256sum -c --quiet; done <chain`,
		`while read -r n sum box name; do mkdir $n; opened $n.data "$name" | case $name in *.gz*) gzip -dc;; *) cat;; esac | mbstream -x -C $n; done <chain`,
		"mariadb-backup --prepare --target-dir=0",
	}
	if len(chain) > 1 {
		out.Commands[3] += fmt.Sprintf("; for n in $(seq 1 %d); do mariadb-backup --prepare --target-dir=0 --incremental-dir=$n; done", len(chain)-1)
	}
	return out, nil
}
