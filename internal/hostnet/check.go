package hostnet

import (
	"context"
	"fmt"
)

// Severity says how much a finding matters.
type Severity int

// The severities, in order.
const (
	OK    Severity = iota // as it should be
	Info                  // good to know; nothing suffers
	Warn                  // something will be slow, or will not work in some cases
	Error                 // the daemon cannot do its work
)

// String is the word that an operator reads.
func (s Severity) String() string {
	switch s {
	case OK:
		return "ok"
	case Info:
		return "info"
	case Warn:
		return "warn"
	case Error:
		return "error"
	}
	return fmt.Sprintf("Severity(%d)", int(s))
}

// Finding is one thing that was looked at. Names are unique, stable and in
// snake_case, for scripts; Detail says what is, Hint what to do about it.
type Finding struct {
	Name     string
	Severity Severity
	Detail   string
	Hint     string
}

// CheckOptions are what the check must know of the configuration.
type CheckOptions struct {
	Protocols []uint8 // route protocol numbers that the daemon would use
}

// Check says what the kernel and the host lack or have set against us, always
// in the same order. It changes nothing: what must be tried is tried in a
// network namespace that is thrown away, and no kernel module that would show
// on the host (a tunnel device, a firewall) is loaded for it. It needs root;
// without, it says so and reports the little it can see.
func (h *Host) Check(ctx context.Context, opts CheckOptions) []Finding {
	return evaluate(h.gather(ctx, opts))
}

// evaluate judges facts; it is a pure function.
func evaluate(f facts) []Finding {
	findings := privileges(f)
	for _, r := range features {
		findings = append(findings, r.judge(f))
	}
	findings = append(findings, tables(f)...)
	findings = append(findings, forwarding(f)...)
	findings = append(findings, filters(f)...)
	return append(findings, strangers(f)...)
}
