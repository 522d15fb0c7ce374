package mysql

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/child"
	"github.com/cofferdb/coffer/internal/engine"
)

// prepare runs the tool's prepare once: over the full, or with the increment in
// dir; last says that no other follows. It is good if the tool exited 0, said its closing words last, said nothing
// that is known to mean damage, and left the target at the layer's end.
func (r *restorer) prepare(ctx context.Context, dir string, l engine.Layer, last bool) error {
	r.progress("prepare")
	memory := r.target.Memory
	if memory == 0 {
		memory = 256 << 20
	}
	d := r.env.dialect()
	args := d.prepare(prepareArgs{target: r.target.Dir, increment: dir, memory: memory, last: last})
	words := &toolWords{log: r.env.Log}
	err := r.runTool(ctx, args, words)
	if err := words.verdict(ctx, err); err != nil {
		return err
	}
	c, err := readCheckpoints(r.root)
	if err != nil {
		return err
	}
	done := "log-applied"
	if d.percona && last {
		done = "full-prepared"
	}
	if want := l.Position().To; c.kind != done || c.to != want {
		return coffer.E(coffer.KindTool, "prepare", "the tool left the folder as %q at LSN %d, not at %d", c.kind, c.to, want)
	}
	return nil
}

// runTool runs the tool as the target's owner, never as root, in a process group
// of its own that does not outlive us.
func (r *restorer) runTool(ctx context.Context, args []string, words *toolWords) error {
	cmd := exec.CommandContext(ctx, r.env.Backup, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(r.target.UID), Gid: uint32(r.target.GID)}}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	err = child.Start(cmd, func() {
		words.read(stderr)
		done <- cmd.Wait()
	})
	if err != nil {
		return err
	}
	return <-done
}

// toolWords judges what the tool says, in bounded memory.
type toolWords struct {
	log   func(string)
	last  string // the last line that is not empty
	fatal string // the first line that means damage
	wrong string // the last line that the tool itself calls an error
	full  bool   // a disk is full
}

const (
	closingWords = "completed OK!"
	maxToolLine  = 8 << 10
)

// fatalWords are what the tool says of damage while it may still exit 0.
func fatalWords() []string {
	return []string{
		"FATAL ERROR", "[FATAL]", "due to corruption", "page corruption", "is corrupted", "Assertion failure",
		"seems not to be proper", "Can't rename", "Can't create file", "Cannot apply", "mysqld got signal",
	}
}

// read takes the tool's lines up to the end of r.
func (w *toolWords) read(r io.Reader) {
	b := bufio.NewReaderSize(r, maxToolLine)
	for {
		line, err := b.ReadSlice('\n')
		w.line(strings.TrimRight(string(line), "\r\n"))
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line is dropped
			_, err = b.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func (w *toolWords) line(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	w.last = line
	if w.log != nil {
		w.log(line)
	}
	if strings.Contains(line, "No space left on device") || strings.Contains(line, "Disk full") {
		w.full = true
	}
	if isErrorLine(line) {
		w.wrong = line
	}
	for _, word := range fatalWords() {
		if w.fatal == "" && strings.Contains(line, word) {
			w.fatal = line
		}
	}
}

// isErrorLine tells a line that the tool marks as an error. What it says at its very
// end is often only how its library was shut down.
func isErrorLine(line string) bool {
	return strings.Contains(line, "[ERROR]") || strings.Contains(line, "error: ") || strings.Contains(line, "Error: ")
}

// verdict joins the tool's end with its words.
func (w *toolWords) verdict(ctx context.Context, err error) error {
	const op = "prepare"
	switch {
	case ctx.Err() != nil:
		return coffer.Wrap(op, ctx.Err())
	case w.full:
		return coffer.E(coffer.KindNoSpace, op, "the target's disk is full").WithHint("free some space, or give another folder")
	case w.fatal != "":
		return coffer.E(coffer.KindTool, op, "the tool said %q", w.fatal)
	case err != nil:
		return coffer.E(coffer.KindTool, op, "the tool failed (%w); its last words: %q", err, cmp.Or(w.wrong, w.last))
	case !strings.HasSuffix(w.last, closingWords):
		return coffer.E(coffer.KindTool, op, "the tool exited 0 without its closing words; its last: %q", w.last)
	}
	return nil
}
