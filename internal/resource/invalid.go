package resource

import (
	"fmt"
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

// problems collects what is wrong while an object is checked.
type problems struct {
	list []Problem
}

func (p *problems) addf(path, format string, args ...any) {
	p.list = append(p.list, Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
}

// err adds err, if it is one, as the problem of path.
func (p *problems) err(path string, err error) {
	if err != nil {
		p.list = append(p.list, Problem{Path: path, Reason: err.Error()})
	}
}

// unsupported adds the problem that what was asked for is not built, if asked
// is true. What would be accepted follows, if there is anything to say.
func (p *problems) unsupported(asked bool, path, accepted string) {
	if !asked {
		return
	}
	reason := "not supported yet"
	if accepted != "" {
		reason += ", only " + accepted + " is"
	}
	p.list = append(p.list, Problem{Path: path, Reason: reason, Unsupported: true})
}

// invalid returns the error, or nil if nothing is wrong.
func (p *problems) invalid() error {
	if len(p.list) == 0 {
		return nil
	}
	return &Invalid{Problems: p.list}
}
