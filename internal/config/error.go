package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error lists every problem of a file.
type Error struct {
	File     string
	Problems []Problem // at least one; by line, then by path
}

// Problem is one thing that is wrong.
type Problem struct {
	Path string // such as bgp.peers[1].asNumber; empty for the file as a whole
	Line int    // zero: none in the file, such as a default that does not fit
	Msg  string
}

// Error implements error: one line for one problem, else a heading and a line
// for each.
func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return e.File + ": " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s has %d problems:", e.File, len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// String returns the problem with its line and path.
func (p Problem) String() string {
	s := p.Msg
	if p.Path != "" {
		s = p.Path + ": " + s
	}
	if p.Line > 0 {
		s = fmt.Sprintf("line %d: %s", p.Line, s)
	}
	return s
}

func newError(file string, problems []Problem) *Error {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	})
	return &Error{File: file, Problems: problems}
}
