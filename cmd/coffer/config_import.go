package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/config"
)

type configImportCmd struct {
	Files   []string `arg:"" name:"file" type:"path" help:"Trove's configuration: trove.conf; or a guest's trove-guestagent.conf and guest_info.conf."`
	Secrets string   `type:"path" placeholder:"DIR" help:"Write passwords and keys into files of this folder (mode 0600); without it they are only named."`
}

// Help is shown by --help.
func (configImportCmd) Help() string {
	return `Prints a configuration with what the options of Trove mean here: transport_url, control_exchange, [database] connection, keys of secure RPC, quota, container, region, listener. What a person must decide, and the options that have no meaning here, are said on standard error. A guest's files become the configuration of an agent with profile = "trove". Trove's own database is never used: the records are another one.

Examples:
  coffer config import /etc/trove/trove.conf > coffer.toml
  coffer config import /etc/trove/trove.conf --secrets /etc/coffer > /etc/coffer/coffer.toml
  coffer config import /etc/trove/conf.d/trove-guestagent.conf /etc/trove/conf.d/guest_info.conf --secrets /etc/coffer > /etc/coffer/coffer.toml

` + exitHelp
}

// importOut is an import as it is printed.
type importOut struct {
	TOML    string   `json:"toml"`
	Files   []string `json:"files"` // of secrets: written, or to be written
	Written bool     `json:"written"`
	ToDo    []string `json:"to_do"`
	Ignored []string `json:"no_meaning_here"`
}

// Run reads, writes the secrets, and prints.
func (c *configImportCmd) Run(e *environment) error {
	text, err := c.read()
	if err != nil {
		return err
	}
	dir := cmp.Or(c.Secrets, filepath.Dir(defaultConfig))
	im, err := config.ImportTrove(strings.NewReader(text), dir)
	if err != nil {
		return err
	}
	out := importOut{TOML: im.TOML, Files: []string{}, Written: c.Secrets != "", ToDo: append([]string{}, im.ToDo...), Ignored: append([]string{}, im.Ignored...)}
	for _, name := range slices.Sorted(maps.Keys(im.Secrets)) {
		path := filepath.Join(dir, name)
		out.Files = append(out.Files, path)
		if !out.Written {
			out.ToDo = append(out.ToDo, "put the secret of "+strings.Join(c.Files, " or ")+" into "+path+" (mode 0600)")
		} else if err := writeSecret(path, im.Secrets[name]); err != nil {
			return err
		}
	}
	if e.json {
		return e.print(out)
	}
	out.tell(e.err)
	_, err = io.WriteString(e.out, out.TOML)
	return err
}

// read is all files as one: each begins in [DEFAULT] again.
func (c *configImportCmd) read() (string, error) {
	const op = "read Trove's configuration"
	var all strings.Builder
	for _, name := range c.Files {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return "", coffer.E(coffer.KindNotFound, op, "there is no %s", name)
		}
		if err != nil {
			return "", coffer.E(coffer.KindForbidden, op, "%w", err)
		}
		fmt.Fprintf(&all, "[DEFAULT]\n%s\n", b)
	}
	return all.String(), nil
}

// tell says beside the configuration what is not in it.
func (o importOut) tell(w io.Writer) {
	if o.Written {
		for _, f := range o.Files {
			fmt.Fprintln(w, "written:", f)
		}
	}
	for _, t := range o.ToDo {
		fmt.Fprintln(w, "to do:", t)
	}
	for _, t := range o.Ignored {
		fmt.Fprintln(w, "no meaning here:", t)
	}
}

// writeSecret makes a file that is its owner's alone, and replaces none.
func writeSecret(path, text string) error {
	const op = "write a secret"
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return coffer.E(coffer.KindConflict, op, "%s exists", path).WithHint("remove it, or name another folder with --secrets")
	case err != nil:
		return coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	_, err = io.WriteString(f, text+"\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return coffer.E(coffer.KindInternal, op, "%w", err)
	}
	return nil
}
