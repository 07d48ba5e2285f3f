package resource

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with an object.
type Problem struct {
	// Path of the field in JSON names, such as spec.ipNetworks[1]; empty for
	// the object as a whole.
	Path   string
	Reason string
	// Unsupported: the value is well formed, but what it asks for is not built.
	Unsupported bool
	Line        int // in the manifest; zero where there is none
}

// String renders "line 7: spec.cidr: reason".
func (p Problem) String() string {
	s := p.Reason
	if p.Path != "" {
		s = p.Path + ": " + s
	}
	if p.Line > 0 {
		s = fmt.Sprintf("line %d: %s", p.Line, s)
	}
	return s
}

// Invalid is the error that tells everything that is wrong with an object.
type Invalid struct {
	Source   string // the manifest, such as "pools.yaml: document 2"; may be empty
	Problems []Problem
}

// Error lists all problems in one line.
func (e *Invalid) Error() string {
	var list []string
	for _, p := range e.Problems {
		list = append(list, p.String())
	}
	s := strings.Join(list, "; ")
	if e.Source != "" {
		s = e.Source + ": " + s
	}
	return s
}

// Unsupported tells whether nothing is wrong but that some of it is not built.
func (e *Invalid) Unsupported() bool {
	for _, p := range e.Problems {
		if !p.Unsupported {
			return false
		}
	}
	return len(e.Problems) > 0
}

// Bounds of what is told, so that an answer about 4 MiB of mistakes still fits
// into the trailers of a gRPC call.
const (
	maxProblems     = 100
	maxProblemBytes = 500 // of a path, and of a reason
)

// problems collects what is wrong while an object is read or checked.
type problems struct {
	list []Problem
	more int // beyond maxProblems
}

func (p *problems) add(problem Problem) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	problem.Path, problem.Reason = clip(problem.Path), clip(problem.Reason)
	p.list = append(p.list, problem)
}

// clip shortens a text that quotes what somebody sent.
func clip(s string) string {
	if len(s) <= maxProblemBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxProblemBytes], "") + "…"
}

func (p *problems) addf(path, format string, args ...any) {
	p.add(Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
}

// err adds err, if it is one, as the problem of path.
func (p *problems) err(path string, err error) {
	if err != nil {
		p.add(Problem{Path: path, Reason: err.Error()})
	}
}

func (p *problems) has(path string) bool {
	return slices.ContainsFunc(p.list, func(q Problem) bool { return q.Path == path })
}

// unsupported adds the problem that what was asked for is not built, if asked
// is true and nothing else is wrong with it. What would be accepted follows, if
// there is anything to say.
func (p *problems) unsupported(asked bool, path, accepted string) {
	if !asked || p.has(path) {
		return
	}
	reason := "not supported yet"
	if accepted != "" {
		reason += ", only " + accepted + " is"
	}
	p.add(Problem{Path: path, Reason: reason, Unsupported: true})
}

// all returns the problems, and at the end how many are not told.
func (p *problems) all() []Problem {
	if p.more == 0 {
		return p.list
	}
	return append(slices.Clip(p.list), Problem{Reason: fmt.Sprintf("and %d more problems", p.more)})
}

// invalid returns the error, or nil if nothing is wrong.
func (p *problems) invalid() error {
	if len(p.list) == 0 {
		return nil
	}
	return &Invalid{Problems: p.all()}
}
