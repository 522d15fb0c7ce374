package main

import (
	"fmt"
	"io"
	"os"

	"filippo.io/age"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/codec"
	"github.com/cofferdb/coffer/rest"
)

type keysCmd struct {
	Init keysInitCmd `cmd:"" help:"Make the operator's identity; instances registered from now on are encrypted for it."`
	Show keysShowCmd `cmd:"" help:"Show for whom backups are encrypted."`
}

type keysInitCmd struct {
	Recipient []string `placeholder:"AGE1…" help:"Encrypt for these age recipients instead of making an identity."`
}

// Help is shown by --help.
func (keysInitCmd) Help() string {
	return `Writes STATE/keys/recipients.txt, and without --recipient a new identity into STATE/keys/identity.txt (mode 0600). Whoever loses the identity loses every encrypted backup: keep a copy elsewhere. Restart the server afterwards.

Examples:
  coffer keys init
  coffer keys init --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kudq3zqwskcg5nz

` + exitHelp
}

// keysOut is what is known of keys, as it is printed.
type keysOut struct {
	Recipients []string `json:"recipients"`
	Identity   string   `json:"identity_file,omitempty"`
}

func (k keysOut) text(w io.Writer) {
	if len(k.Recipients) == 0 {
		fmt.Fprintln(w, "backups are not encrypted; make keys with: coffer keys init")
		return
	}
	for _, r := range k.Recipients {
		fmt.Fprintln(w, "recipient:", r)
	}
	if k.Identity != "" {
		fmt.Fprintln(w, "identity:", k.Identity, "(keep a copy elsewhere: without it nothing can be restored)")
	}
}

// Run makes the keys; existing ones are never replaced.
func (c *keysInitCmd) Run(e *environment) error {
	const op = "make the keys"
	if err := e.state.make(); err != nil {
		return err
	}
	file := e.state.path("keys", "recipients.txt")
	if exists(file) {
		return coffer.E(coffer.KindConflict, op, "%s exists", file).
			WithHint("backups are encrypted already; see: coffer keys show")
	}
	out := keysOut{Recipients: c.Recipient}
	if len(c.Recipient) > 0 {
		if _, err := codec.ParseRecipients(c.Recipient...); err != nil {
			return err
		}
	} else {
		id, err := codec.NewIdentity()
		if err != nil {
			return coffer.Wrap(op, err)
		}
		out.Identity = e.state.path("keys", "identity.txt")
		if err := codec.WriteIdentity(out.Identity, id); err != nil {
			return coffer.Wrap(op, err)
		}
		out.Recipients = []string{id.Recipient().String()}
	}
	if err := writeLines(file, out.Recipients); err != nil {
		return coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	return e.show(out)
}

func writeLines(file string, lines []string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, l := range lines {
		if _, err := fmt.Fprintln(f, l); err != nil {
			return err
		}
	}
	return f.Sync()
}

type keysShowCmd struct{}

// Run shows the recipients; private halves are never printed.
func (keysShowCmd) Run(e *environment) error {
	out := keysOut{Recipients: []string{}}
	if file := e.state.path("keys", "recipients.txt"); exists(file) {
		list, err := codec.ReadRecipients(file)
		if err != nil {
			return err
		}
		for _, r := range list {
			if x, ok := r.(*age.X25519Recipient); ok {
				out.Recipients = append(out.Recipients, x.String())
			}
		}
	}
	if f := e.state.path("keys", "identity.txt"); exists(f) {
		out.Identity = f
	}
	return e.show(out)
}

type sweepCmd struct{}

// Help is shown by --help.
func (sweepCmd) Help() string {
	return "Removes what is proven ours and dead. Objects of others are listed and never touched.\n\n" + exitHelp
}

// sweepOut is a sweep's report as it is printed.
type sweepOut struct{ rest.Sweep }

func (s sweepOut) text(w io.Writer) {
	fmt.Fprintf(w, "%d containers: %d dead backups wiped, %d forgotten, %d wait for a second look\n", s.Places, s.Wiped, s.Forgotten, s.Waiting)
	for _, k := range s.Kept {
		fmt.Fprintln(w, "kept by the store:", k)
	}
	for _, n := range s.Strangers {
		fmt.Fprintln(w, "not ours, untouched:", n)
	}
}

// Run sweeps once.
func (sweepCmd) Run(e *environment) error {
	cl, err := e.client()
	if err != nil {
		return err
	}
	s, err := cl.Sweep(e.ctx)
	if err != nil {
		return err
	}
	return e.show(sweepOut{s})
}
