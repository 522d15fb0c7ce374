package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// meter shows how far a job is: on a terminal one line that is drawn again, else
// a plain line when the phase changes and every ten seconds.
type meter struct {
	w        io.Writer
	terminal bool
	quiet    bool // JSON output: only the end is printed
	phase    string
	last     time.Time
	drawn    bool
}

const plainEvery = 10 * time.Second

func (m *meter) show(phase string, p coffer.Progress, now time.Time) {
	if m.quiet || phase == "" {
		return
	}
	if m.terminal {
		fmt.Fprintf(m.w, "\r\x1b[K%s", progressText(phase, p, now))
		m.drawn = true
		return
	}
	if phase == m.phase && now.Sub(m.last) < plainEvery {
		return
	}
	m.phase, m.last = phase, now
	fmt.Fprintln(m.w, progressText(phase, p, now))
}

// event prints one line of the diary above the progress line.
func (m *meter) event(e coffer.Event) {
	if m.quiet {
		return
	}
	m.end()
	mark := ""
	if e.Level != coffer.Info {
		mark = string(e.Level) + ": "
	}
	fmt.Fprintf(m.w, "%s  %s%s\n", e.At.Local().Format("15:04:05"), mark, e.Text)
}

// end leaves the progress line.
func (m *meter) end() {
	if m.drawn {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.drawn = false
	}
}

// progressText is phase, bytes, rate and, from five per cent on, the time left.
func progressText(phase string, p coffer.Progress, now time.Time) string {
	parts := []string{phase}
	switch {
	case p.Total > 0 && p.Done <= p.Total:
		parts = append(parts, fmt.Sprintf("%s of %s (%d %%)", bytesText(p.Done), bytesText(p.Total), p.Done*100/p.Total))
	case p.Done > 0:
		parts = append(parts, bytesText(p.Done))
	}
	if p.Rate > 0 {
		parts = append(parts, bytesText(int64(p.Rate))+"/s")
	}
	if p.Total > 0 && p.Rate > 0 && p.Done*20 >= p.Total && p.Done < p.Total {
		left := time.Duration(float64(p.Total-p.Done) / p.Rate * float64(time.Second))
		parts = append(parts, "about "+left.Round(time.Second).String()+" left")
	}
	if p.Started > 0 {
		parts = append(parts, now.Sub(time.UnixMilli(p.Started)).Round(time.Second).String())
	}
	return strings.Join(parts, ", ")
}

// bytesText is n in binary units with three figures or so.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 4 {
		v, i = v/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[i])
}
