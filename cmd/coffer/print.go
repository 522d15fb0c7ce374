package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/client"
	"github.com/cofferdb/coffer/rest"
)

// print writes v as indented JSON.
func (e *environment) print(v any) error {
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// textual is a value that knows its text form; its JSON form is its own fields.
type textual interface{ text(w io.Writer) }

// show prints one value in the form that was asked for.
func (e *environment) show(v textual) error {
	if e.json {
		return e.print(v)
	}
	v.text(e.out)
	return nil
}

// fields prints "name: value" lines, aligned, without the empty ones.
func fields(w io.Writer, pairs ...string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(t, "%s:\t%s\n", pairs[i], pairs[i+1])
		}
	}
	t.Flush()
}

// table prints aligned columns.
func table(w io.Writer, head []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	t.Flush()
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// follow shows a job's events and progress until it ends.
func (e *environment) follow(c *client.Client, id coffer.JobID) (rest.Job, error) {
	m := &meter{w: e.err, terminal: e.terminal, quiet: e.json}
	defer m.end()
	return c.Wait(e.ctx, id, 300*time.Millisecond, func(ev rest.Events) {
		for _, x := range ev.Events {
			m.event(x)
		}
		if ev.Job.State.Running() {
			m.show(ev.Job.Phase, ev.Job.Progress, time.Now())
		}
	})
}

// backupOut is a backup as the commands print it.
type backupOut struct{ rest.Backup }

func (b backupOut) text(w io.Writer) {
	verified := ""
	if b.Verified != nil {
		verified = fmt.Sprintf("%s (%s): %s", okText(b.Verified.OK), timeText(b.Verified.At), b.Verified.Text)
	}
	reason, hint := "", ""
	if b.Error != nil {
		reason, hint = b.Error.Message, b.Error.Hint
	}
	sizes := ""
	if b.Sizes.Stored > 0 {
		sizes = fmt.Sprintf("%s stored, %s before compression, %s used by the database", bytesText(b.Sizes.Stored), bytesText(b.Sizes.Plain), bytesText(b.Sizes.Data))
	}
	encrypted := ""
	switch {
	case b.Key != "":
		encrypted = "for data key " + string(b.Key)
	case b.State == coffer.Completed:
		encrypted = "no"
	}
	fields(w,
		"id", string(b.ID), "name", b.Name, "status", string(b.State), "type", b.Type, "instance", string(b.Instance),
		"parent", string(b.Parent), "joined from", string(b.Synthesized), "sizes", sizes, "encrypted", encrypted, "location", b.Location,
		"position", positionText(b.Position), "source", sourceText(b.Position.Source), "manifest", b.Manifest, "verified", verified, "reason", reason, "next", hint,
		"created", timeText(b.CreatedAt), "ended", timePtr(b.EndedAt))
}

func okText(ok bool) string {
	if ok {
		return "good"
	}
	return "DAMAGED"
}

func timePtr(t *time.Time) string {
	if t == nil {
		return ""
	}
	return timeText(*t)
}

// backupView is a row as the commands print it.
func backupView(b coffer.Backup) backupOut {
	ended := b.Ended
	return backupOut{rest.Backup{
		ID: b.ID, Project: b.Project, Instance: b.Instance, Name: b.Name, State: b.State, Parent: b.Parent,
		Root: b.Root, Depth: b.Depth, Type: b.Type, Method: b.Method, Datastore: b.Datastore, Store: b.Store,
		Container: b.Container, Location: b.Location, Manifest: b.Manifest, Key: b.Key, Position: b.Position,
		Sizes: b.Sizes, CreatedAt: b.Created, UpdatedAt: b.Updated, EndedAt: &ended,
	}}
}
