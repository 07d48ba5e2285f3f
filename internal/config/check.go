package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// checker turns the raw form into the checked one and collects problems. A
// method that notes a problem returns a harmless value, so that the rest of
// the file is checked all the same.
type checker struct {
	problems []Problem
	lines    map[string]int  // of every path that the file gives
	bad      map[string]bool // paths that have a problem already
}

// file checks the whole file.
func (c *checker) file(raw *file) Config {
	cfg := Config{
		Node:      c.node(&raw.Node),
		Store:     c.store(&raw.Store),
		API:       c.api(&raw.API),
		BGP:       c.bgp(&raw.BGP),
		FIB:       c.fib(&raw.FIB),
		Workloads: c.workloads(&raw.Workloads),
		Policy:    c.policy(raw.Policy),
		Dataplane: c.dataplane(raw.Dataplane),
		BMP:       c.stations("bmp", raw.BMP),
		Log:       c.log(&raw.Log),
		Metrics:   c.metrics(&raw.Metrics),

		Reflector:  c.reflector(&raw.Reflector),
		Controller: c.controller(&raw.Controller),
	}
	c.between(cfg)
	return cfg
}

// between checks what sections say of each other.
func (c *checker) between(cfg Config) {
	if cfg.API.Listen != "" && cfg.API.Listen == cfg.Metrics.Listen {
		c.problem("metrics.listen", "%s is taken by api.listen", cfg.Metrics.Listen)
	}
	for i, peer := range cfg.BGP.Peers {
		if a := peer.Addr.Addr(); a.IsValid() && (a == cfg.Node.IPv4.Addr() || a == cfg.Node.IPv6.Addr()) {
			c.problem(index("bgp.peers", i)+".peerIP", "%s is this node's own address", a)
		}
	}
}

// problem notes what is wrong at path, with the line of path or else of what
// it is a part of. Only the first problem of a path's value counts: what is
// found later follows from it.
func (c *checker) problem(path, format string, args ...any) {
	if c.bad[path] {
		return
	}
	c.bad[path] = true
	line := 0
	for at := path; at != "" && line == 0; {
		line = c.lines[at]
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	c.note(path, line, format, args...)
}

// refused notes what the value at path was refused for; nil: it was not.
func (c *checker) refused(path string, err error) {
	if err != nil {
		c.problem(path, "%v", err)
	}
}

// note notes a problem in a line, beside what the value of path has.
func (c *checker) note(path string, line int, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Line: line, Msg: fmt.Sprintf(format, args...)})
}

// badBelow tells whether part of the value at path has a problem.
func (c *checker) badBelow(path string) bool {
	for at := range c.bad {
		if strings.HasPrefix(at, path+"[") || strings.HasPrefix(at, path+".") {
			return true
		}
	}
	return false
}

// needed notes a problem unless the file has a value at path.
func (c *checker) needed(path string, present bool, why string) {
	if !present {
		c.problem(path, "is needed%s", why)
	}
}

// only notes a problem for each of a section's fields that is given, because
// fields have a meaning only in the case of when.
func (c *checker) only(section, when string, fields map[string]*string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] != nil {
			c.problem(join(section, name), "has a meaning only with %s", when)
		}
	}
}

// text returns the value or its default.
func text(raw *string, or string) string {
	if raw == nil {
		return or
	}
	return *raw
}

// filled is text that may be absent, but not empty.
func (c *checker) filled(path string, raw *string, or string) string {
	if raw != nil && *raw == "" {
		c.problem(path, "is empty")
	}
	return text(raw, or)
}

// oneOf returns the value or its default, the first of choices.
func (c *checker) oneOf(path string, raw *string, choices ...string) string {
	if raw == nil {
		return choices[0]
	}
	for _, choice := range choices {
		if *raw == choice {
			return choice
		}
	}
	c.problem(path, "%q is none of %s", *raw, strings.Join(choices, ", "))
	return choices[0]
}

// path returns a clean absolute file name.
func (c *checker) path(path string, raw *string, or string) string {
	if raw == nil {
		return or
	}
	if !filepath.IsAbs(*raw) || strings.ContainsRune(*raw, 0) {
		c.problem(path, "%q is not an absolute path", *raw)
		return or
	}
	return filepath.Clean(*raw)
}

// integer returns a number from low to high.
func (c *checker) integer(path string, raw *integer, or, low, high uint64) uint64 {
	if raw == nil {
		return or
	}
	n, err := strconv.ParseUint(raw.text, 0, 64)
	switch {
	case raw.tag != "!!int":
		c.problem(path, "expected a whole number, found %q", raw.text)
	case err != nil || n < low || n > high:
		c.problem(path, "%s is not in %d to %d", raw.text, low, high)
	default:
		return n
	}
	return or
}

// duration returns a time from low to high.
func (c *checker) duration(path string, raw *duration, or, low, high time.Duration) time.Duration {
	if raw == nil {
		return or
	}
	d, err := time.ParseDuration(raw.text)
	switch {
	case err != nil || raw.tag != "!!str":
		c.problem(path, "%q is not a time with its unit, such as 500ms, 15s or 2m", raw.text)
	case d < low || d > high:
		c.problem(path, "%s is not in %s to %s", d, low, high)
	default:
		return d
	}
	return or
}

// seconds is duration in whole seconds.
func (c *checker) seconds(path string, raw *duration, or, low, high time.Duration) time.Duration {
	d := c.duration(path, raw, or, low, high)
	if d%time.Second != 0 {
		c.problem(path, "%s is not in whole seconds", d)
	}
	return d
}

// listen returns an address:port on which to listen, the address an IP or
// empty.
func (c *checker) listen(path, value string) string {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		c.problem(path, "%q is not address:port", value)
		return ""
	}
	if host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			c.problem(path, "%q is not an IP address", host)
			return ""
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		c.problem(path, "%q is not a port", port)
		return ""
	}
	return value
}

// asNumber returns an AS number, in plain or dotted notation (RFC 5396).
func (c *checker) asNumber(path string, raw *asNumber) uint32 {
	if raw == nil {
		return 0
	}
	if raw.tag == "!!float" {
		c.problem(path, "%s without quotes is a fraction to YAML: write \"%s\" for a dotted AS number", raw.text, raw.text)
		return 0
	}
	n, err := resource.ParseASNumber(raw.text)
	c.refused(path, err)
	return n
}
