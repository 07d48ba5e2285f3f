package fabric

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// A table of a router's RIB is text, one path a line and in order: prefix, next
// hop, and the AS path, such as "10.65.1.1/32 via 10.1.1.11 path 65201". It
// holds every path that the router has, best or not.

// Path is a line of such a table.
func Path(prefix, nextHop string, asPath ...uint32) string {
	line := prefix + " via " + nextHop + " path"
	for _, as := range asPath {
		line += fmt.Sprintf(" %d", as)
	}
	return line
}

// Table is such a table of some lines.
func Table(lines []string) string {
	return strings.Join(slices.Sorted(slices.Values(lines)), "\n")
}

// FRRTable returns all of an FRR's unicast RIB, both families.
func FRRTable(ctx context.Context, f *lab.FRR) (string, error) {
	var lines []string
	for _, family := range []string{"ipv4", "ipv6"} {
		var rib struct {
			Routes map[string][]struct {
				Path     string
				Nexthops []struct {
					IP    string
					Scope string
				}
			}
		}
		if err := f.VtyshJSON(ctx, &rib, "show bgp "+family+" unicast"); err != nil {
			return "", err
		}
		for prefix, paths := range rib.Routes {
			for _, p := range paths {
				for _, n := range p.Nexthops {
					if n.Scope == "link-local" { // beside the global one (RFC 2545 §3)
						continue
					}
					lines = append(lines, strings.TrimRight(prefix+" via "+n.IP+" path "+p.Path, " "))
				}
			}
		}
	}
	return Table(lines), nil
}

// FRRReceived returns what a neighbour of an FRR has told it, before any filter
// and loop detection. The session keeps it (soft-reconfiguration inbound).
func FRRReceived(ctx context.Context, f *lab.FRR, neighbor netip.Addr) (string, error) {
	family := "ipv6"
	if neighbor.Is4() {
		family = "ipv4"
	}
	var in struct {
		ReceivedRoutes map[string]struct {
			NextHop       string
			NextHopGlobal string
			Path          string
		}
	}
	command := fmt.Sprintf("show bgp %s unicast neighbors %s received-routes", family, neighbor)
	if err := f.VtyshJSON(ctx, &in, command); err != nil {
		return "", err
	}
	var lines []string
	for prefix, r := range in.ReceivedRoutes {
		lines = append(lines, strings.TrimRight(prefix+" via "+r.NextHop+r.NextHopGlobal+" path "+r.Path, " "))
	}
	return Table(lines), nil
}

// The parts of BIRD's "show route all" that a table is made of: the prefix, on
// the first line of its first path; then, of each path, its first line and two
// of its attributes.
var (
	birdPath    = regexp.MustCompile(`^(\S*)\s+(unicast|blackhole|unreachable|prohibit) \[`)
	birdASPath  = regexp.MustCompile(`^\tBGP\.as_path:\s*(.*)$`)
	birdNextHop = regexp.MustCompile(`^\tBGP\.next_hop:\s*(\S+)`)
)

// BIRDTable returns all of a BIRD's master tables, both families. A route that
// is not from BGP has neither next hop nor path.
func BIRDTable(ctx context.Context, b *lab.BIRD) (string, error) {
	var lines []string
	for _, table := range []string{"master4", "master6"} {
		out, err := b.Birdc(ctx, "show", "route", "table", table, "all")
		if err != nil {
			return "", err
		}
		lines = append(lines, birdPaths(out)...)
	}
	return Table(lines), nil
}

func birdPaths(out string) []string {
	var lines []string
	prefix, nextHop, asPath := "", "", ""
	open := false
	flush := func() {
		if open {
			lines = append(lines, strings.TrimRight(prefix+" via "+nextHop+" path "+asPath, " "))
		}
		nextHop, asPath, open = "", "", false
	}
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		switch {
		case birdPath.MatchString(line):
			flush()
			open = true
			if m := birdPath.FindStringSubmatch(line); m[1] != "" {
				prefix = m[1]
			}
		case birdASPath.MatchString(line):
			asPath = birdASPath.FindStringSubmatch(line)[1]
		case birdNextHop.MatchString(line):
			nextHop = birdNextHop.FindStringSubmatch(line)[1]
		}
	}
	flush()
	return lines
}

// SinglePrefix is the /32 or /128 of an address.
func SinglePrefix(addr string) string {
	a := netip.MustParseAddr(addr)
	return netip.PrefixFrom(a, a.BitLen()).String()
}
