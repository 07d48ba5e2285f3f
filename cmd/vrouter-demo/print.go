package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// printer writes the demo's sections. Its output is for reading along, so
// errors of writing are of no concern.
type printer struct {
	out io.Writer
}

// section begins a section: its title, and one sentence of what is shown.
func (p *printer) section(title, sentence string, args ...any) {
	fmt.Fprintf(p.out, "\n%s\n%s\n%s\n", title, strings.Repeat("-", len(title)), fmt.Sprintf(sentence, args...))
}

// line writes a line of a section.
func (p *printer) line(format string, args ...any) {
	fmt.Fprintln(p.out, strings.TrimRight("  "+fmt.Sprintf(format, args...), " "))
}

// text writes what a program printed, after the command that was given.
func (p *printer) text(command, out string) {
	fmt.Fprintf(p.out, "\n  $ %s\n", command)
	for line := range strings.Lines(strings.Trim(out, "\n")) {
		fmt.Fprintln(p.out, strings.TrimRight("  "+line, " \n"))
	}
}

// seconds is a duration to read.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// from returns out from the first line that begins with words, all of it when
// there is none: routers print legends first.
func from(out, words string) string {
	rest := out
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		if strings.HasPrefix(strings.TrimSpace(line), words) {
			return rest
		}
		rest = after
	}
	return out
}
