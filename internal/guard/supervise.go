package guard

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/cofferdb/coffer"
)

// untilEnd gives the guard its signs of life and returns when its reports have
// ended, or when it has been silent for too long. It returns why we ended the
// tool; nil when we did not.
func (p *Proc) untilEnd(ctx context.Context, listened <-chan struct{}) (why error) {
	op := "run " + p.spec.Exe
	ticker := time.NewTicker(p.rules.tick())
	defer ticker.Stop()
	lastBeat := time.Now()
	canceled := ctx.Done()
	for {
		var cause error
		select {
		case <-listened:
			return why
		case <-canceled:
			canceled = nil
			cause = coffer.Wrap(op, fmt.Errorf("the caller stopped it: %w", context.Cause(ctx)))
		case reason := <-p.kill:
			cause = coffer.E(coffer.KindTool, op, "%s", reason)
		case <-ticker.C:
			if limit, silent := p.guardSilent(); silent {
				return cmp.Or[error](why, coffer.E(coffer.KindTool, op, "the guard was silent for %v", limit))
			}
			if time.Since(lastBeat) >= p.rules.Beat {
				lastBeat = time.Now()
				_ = p.say([]byte{byteBeat}) // a dead guard shows in its reports
			}
		}
		if cause != nil && why == nil {
			why = cause
			_ = p.say([]byte{byteKill})
		}
	}
}

func (p *Proc) guardSilent() (time.Duration, bool) {
	silent := p.guard.look(time.Now())
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.rules.Silence
	if len(p.locked) > 0 {
		limit = p.rules.SilenceLocked
	}
	return limit, silent > limit
}

// killGroup ends what may be left of the tool's group: the tool itself dies with
// its guard, its own children do not. A group whose end was reported is dead, and
// its number may be another's.
func (p *Proc) killGroup() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tool > 1 && p.ended == nil {
		_ = syscall.Kill(-p.tool, syscall.SIGKILL)
	}
}

// conclude sets what Wait returns. A tool that ended by itself before our wish
// reached it has ended by itself.
func (p *Proc) conclude(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report = Report{Exit: -1}
	if p.ended != nil {
		p.report = *p.ended
	}
	op := "run " + p.spec.Exe
	switch {
	case why != nil && (p.ended == nil || p.report.Reason != ""):
		p.err = why
	case p.ended == nil:
		p.err = coffer.E(coffer.KindTool, op, "its guard died (%s)", p.cmd.ProcessState)
	case p.report.Reason != "":
		p.err = coffer.E(coffer.KindTool, op, "%s", p.report.Reason)
	}
}

// Failure is the error of a tool that ended by itself with a status other than
// 0, with the end of what it said; nil for status 0.
func (r Report) Failure(tool string) error {
	if r.Exit == 0 {
		return nil
	}
	how := fmt.Sprintf("exit status %d", r.Exit)
	if r.Signal != "" {
		how = "signal: " + r.Signal
	}
	return coffer.E(coffer.KindTool, "run "+tool, "%s; it said last: %s", how, r.LastWords(5))
}

// LastWords joins the last n lines of what the tool said.
func (r Report) LastWords(n int) string {
	if len(r.Tail) == 0 {
		return "nothing"
	}
	return strings.Join(r.Tail[max(0, len(r.Tail)-n):], " | ")
}
