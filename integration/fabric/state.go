package fabric

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// The route protocol numbers of a daemon, one per source.
const (
	protocolWorkload = 118 + iota
	protocolOverlay
	protocolBGP
	protocolBlackhole
)

// Sessions returns the daemon's sessions in order, one a line: name of the
// peer's node, else its address; address; type; AS; state.
func (d *Daemon) Sessions() (string, error) {
	r, err := d.Status()
	if err != nil {
		return "", err
	}
	var lines []string
	for _, p := range r.Peers {
		node := p.Node
		if node == "" {
			node = "-"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s, AS %d, %s\n", node, p.Address, p.Type, p.AsNumber, p.State))
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}

// KernelRoutes returns what the kernel of a host holds with the marks of a
// daemon: routes of any table, and next-hop objects, a line each.
func KernelRoutes(ctx context.Context, h *lab.Host) (string, error) {
	var b strings.Builder
	for _, proto := range []int{protocolWorkload, protocolOverlay, protocolBGP, protocolBlackhole} {
		for _, words := range []string{"-4 route show table all", "-6 route show table all", "nexthop show"} {
			argv := append([]string{"ip"}, strings.Fields(words)...)
			out, err := h.Run(ctx, append(argv, "proto", fmt.Sprint(proto))...)
			if err != nil {
				return "", err
			}
			b.Write(out)
		}
	}
	return b.String(), nil
}

// Learned returns the routes that the kernel of a host holds from BGP, in
// order, one a line: "10.65.2.1 via 10.0.0.3", next hops in order, too.
func Learned(ctx context.Context, h *lab.Host) (string, error) {
	var lines []string
	for _, family := range []string{"-4", "-6"} {
		out, err := h.Run(ctx, "ip", "-json", family, "route", "show", "proto", fmt.Sprint(protocolBGP))
		if err != nil {
			return "", err
		}
		type hop struct{ Gateway string }
		var routes []struct {
			Dst string
			hop
			Nexthops []hop
		}
		if err := json.Unmarshal(out, &routes); err != nil {
			return "", fmt.Errorf("routes of %s: %w", h.Name(), err)
		}
		for _, r := range routes {
			var via []string
			for _, n := range append(r.Nexthops, r.hop) {
				if n.Gateway != "" {
					via = append(via, n.Gateway)
				}
			}
			slices.Sort(via)
			lines = append(lines, r.Dst+" via "+strings.Join(via, ", ")+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}
