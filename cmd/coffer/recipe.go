package main

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/rest"
)

// recipe is how a backup is restored without Coffer: stock commands, one a line, for
// bash, in an empty folder. The database's files are then in its folder 0.
type recipe struct {
	Backup   coffer.BackupID `json:"backup"`
	Needs    []string        `json:"needs"` // what must be there before
	Commands []string        `json:"commands"`
}

func (r recipe) text(w io.Writer) {
	fmt.Fprintf(w, "# Restores backup %s without Coffer: run it with bash in an empty folder.\n# The files are then in the folder 0: chown -R mysql:mysql 0 before a server starts.\n", r.Backup)
	for _, n := range r.Needs {
		fmt.Fprintln(w, "# It needs", n)
	}
	for _, c := range r.Commands {
		fmt.Fprintln(w, c)
	}
}

// showRecipe prints the recipe of a backup with all that it stands on.
func showRecipe(e *environment, cl *client.Client, id coffer.BackupID) error {
	b, err := cl.BackupDetail(e.ctx, id)
	if err != nil {
		return err
	}
	chain := make([]rest.Backup, 0, len(b.Chain))
	for _, link := range b.Chain {
		one, err := cl.BackupDetail(e.ctx, link)
		if err != nil {
			return err
		}
		chain = append(chain, one.Backup)
	}
	r, err := newRecipe(chain)
	if err != nil {
		return err
	}
	return e.show(r)
}

// newRecipe writes the recipe of a chain, the full first.
func newRecipe(chain []rest.Backup) (recipe, error) {
	const op = "write the recipe"
	if len(chain) == 0 {
		return recipe{}, coffer.E(coffer.KindNotFound, op, "the chain is empty")
	}
	last := chain[len(chain)-1]
	if last.Origin == coffer.OriginTrove {
		return troveRecipe(chain)
	}
	tools, ok := map[string][2]string{"mariabackup": {"mbstream", "mariadb-backup"}, "xtrabackup": {"xbstream", "xtrabackup"}}[last.Method]
	if !ok {
		return recipe{}, coffer.E(coffer.KindUnsupported, op, "there is none for the method %q", last.Method)
	}
	out := recipe{Backup: last.ID, Needs: []string{"jq, " + tools[0] + " and " + tools[1]}}
	var rows []string
	get, encrypted := shelfOf(chain[0].Location), false
	out.Needs = append(out.Needs, get.needs...)
	for n, b := range chain {
		if !b.State.Usable() || b.Location == "" {
			return recipe{}, coffer.E(coffer.KindConflict, op, "backup %s is %s", b.ID, b.State).WithHint("choose another backup")
		}
		key := "-"
		if b.Key != "" {
			encrypted, key = true, string(b.Key)
		}
		rows = append(rows, fmt.Sprintf("%d %s %s %s %s", n, b.Manifest, b.ID, key, shelfOf(b.Location).dir))
	}
	unzip, tool := "zstd -dcq", last.Location
	if encrypted {
		out.Needs = append(out.Needs, "age, and IDENTITY: the file of the operator's identity")
		tool = strings.TrimSuffix(tool, ".age")
	}
	if strings.HasSuffix(tool, ".gz") {
		unzip = "gzip -dc"
	}
	out.Commands = []string{
		"set -euo pipefail; umask 077; get() { " + get.get + " </dev/null; }; printf '%s\\n' " + quoted(rows) + " >chain",
		`while read -r n sum id key at; do get "$at/$id.manifest.json" >$n.json; echo "$sum  $n.json" | sha256sum -c --quiet; done <chain`,
		`while read -r n sum id key at; do for v in $(jq -r '.volumes[].name' $n.json); do get "$at/$v"; done >$n.data; ` +
			`jq -r '.volumes[].parts[] | "\(.size) \(.sha256)"' $n.json | (while read -r size sum; do head -c $size <&3 | sha256sum | grep -q "^$sum "; done) 3<$n.data; done <chain`,
		`while read -r n sum id key at; do mkdir $n; ` + opened(encrypted) + " | " + unzip + " | " + tools[0] + ` -x -C $n; done <chain`,
		prepareCommand(tools[1], len(chain)),
	}
	return out, nil
}

// prepareCommand prepares a chain of n backups. Percona's tool must be told of every
// layer but the last that another follows.
func prepareCommand(tool string, n int) string {
	more := ""
	if n > 1 && tool == "xtrabackup" {
		more = " --apply-log-only"
	}
	text := tool + " --prepare" + more + " --target-dir=0"
	switch {
	case more != "" && n > 2:
		text += fmt.Sprintf("; for n in $(seq 1 %d); do %s --prepare%s --target-dir=0 --incremental-dir=$n; done", n-2, tool, more)
		fallthrough
	case more != "":
		return text + fmt.Sprintf("; %s --prepare --target-dir=0 --incremental-dir=%d", tool, n-1)
	case n > 1:
		text += fmt.Sprintf("; for n in $(seq 1 %d); do %s --prepare --target-dir=0 --incremental-dir=$n; done", n-1, tool)
	}
	return text
}

// opened is the stream of one link, decrypted where it has a key.
func opened(encrypted bool) string {
	if !encrypted {
		return "cat $n.data"
	}
	return `if [ $key = - ]; then cat $n.data; else get "$at/keys/$key.1.age" | age -d -i "$IDENTITY" >$n.key; age -d -i $n.key $n.data; fi`
}

func quoted(rows []string) string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = "'" + strings.ReplaceAll(r, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}

// shelf is the place that an object's address names: the command that prints the
// object "$1", and what "$1" begins with.
type shelf struct {
	get, dir string
	needs    []string
}

// account is the address of a Swift account, as its catalogue says it.
var account = regexp.MustCompile(`^https?://[^/]+(/.*)?/v1/[^/]+/`)

func shelfOf(location string) shelf {
	dir := path.Dir(strings.TrimPrefix(location, "file://"))
	if strings.HasPrefix(location, "file://") {
		return shelf{`cat "$1"`, dir, nil}
	}
	scheme, rest, _ := strings.Cut(location, "://") // not parsed: a key may hold a "%"
	if prefix := account.FindString(location); prefix != "" || scheme == "swift" {
		if prefix == "" {
			_, rest, _ = strings.Cut(rest, "/") // the host
			_, rest, _ = strings.Cut(rest, "/") // the project
		} else {
			rest = location[len(prefix):]
		}
		return shelf{`swift -q download --output - "${1%%/*}" "${1#*/}"`, path.Dir(rest), []string{"the swift client, logged in by its usual variables, OS_… or ST_…"}}
	}
	host, key, _ := strings.Cut(rest, "/")
	return shelf{
		`curl -fsS -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" --aws-sigv4 "aws:amz:${AWS_REGION:-us-east-1}:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$1"`,
		scheme + "://" + host + "/" + strings.ReplaceAll(path.Dir(key), "%", "%25"),
		[]string{"curl, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; AWS_REGION where it is not us-east-1"},
	}
}
