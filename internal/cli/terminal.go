package cli

import (
	"fmt"
	"strings"
	"unicode"
)

// tone is what a text means; a terminal shows it as a colour.
type tone int

const (
	plain tone = iota
	good
	doubtful
	bad
	heading
)

// sgr are the ECMA-48 SGR parameters of the tones.
var sgr = [...]string{plain: "", good: "32", doubtful: "33", bad: "31", heading: "1"}

func paint(text string, t tone) string {
	if t == plain || text == "" {
		return text
	}
	return "\x1b[" + sgr[t] + "m" + text + "\x1b[0m"
}

// colour tells whether a terminal may be painted on (https://no-color.org).
func (a *app) colour() bool {
	return !a.flags.noColor && a.Getenv("NO_COLOR") == "" && a.Getenv("TERM") != "dumb"
}

// outPaint paints text for Out, if that is a terminal.
func (a *app) outPaint(text string, t tone) string {
	if a.OutWidth == 0 || !a.colour() {
		return text
	}
	return paint(text, t)
}

// errPaint paints text for Err, if that is a terminal.
func (a *app) errPaint(text string, t tone) string {
	if !a.ErrTerminal || !a.colour() {
		return text
	}
	return paint(text, t)
}

// printable replaces what would move the cursor or change colours: texts come
// from peers and from other clients of the API.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// progress is a counter on the last line of a terminal; it is silent
// elsewhere. The zero value shows nothing.
type progress struct {
	app   *app
	verb  string
	total int // zero: unknown
	done  int
	shown bool
}

// newProgress starts a counter. Where there is little to do it stays hidden: it
// would only flicker.
func (a *app) newProgress(verb string, total int) {
	const few = 10 // each a call of its own
	a.progress = progress{verb: verb, total: total}
	if a.ErrTerminal && (total == 0 || total >= few) {
		a.progress.app = a
	}
}

// step counts n more and shows the counter.
func (p *progress) step(n int) {
	if p.app == nil {
		return
	}
	const many = 1000 // that come in pages
	if p.done += n; p.total == 0 && p.done < many {
		return
	}
	line := fmt.Sprintf("%s %d", p.verb, p.done)
	if p.total > 0 {
		line += fmt.Sprintf("/%d", p.total)
	}
	fmt.Fprintf(p.app.Err, "\r\x1b[K%s", line)
	p.shown = true
}

// clear removes the counter from the screen until the next step.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.app.Err, "\r\x1b[K")
		p.shown = false
	}
}
