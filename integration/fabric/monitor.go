package fabric

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
)

// Monitor is `ip monitor` in a host: it remembers which routes inside the
// pools were removed from its kernel, by whomever. A route that is replaced
// was not removed.
type Monitor struct {
	host    *lab.Host
	process *lab.Process
	t       lab.T
}

// monitorMark is a route by which a Monitor is seen to listen: it is added and
// removed, and lies outside the pools (RFC 5737, TEST-NET-1).
const monitorMark = "192.0.2.%d/32"

// NewMonitor starts to watch a host's routes, and returns when it does.
func NewMonitor(t lab.T, h *lab.Host) *Monitor {
	t.Helper()
	m := &Monitor{host: h, t: t}
	m.process = h.Start("monitor", []string{"ip", "monitor", "route"}, lab.ProcessOptions{})
	m.flush(1)
	return m
}

// flush returns once the monitor has written down all that happened before.
func (m *Monitor) flush(n int) {
	m.t.Helper()
	mark := fmt.Sprintf(monitorMark, n)
	gone := "Deleted blackhole " + strings.TrimSuffix(mark, "/32")
	lab.Eventually(m.t, Limit, "ip monitor on "+m.host.Name()+" listens", func() error {
		m.host.MustRun("ip", "route", "add", "blackhole", mark)
		m.host.MustRun("ip", "route", "del", "blackhole", mark)
		if !strings.Contains(m.process.Output(), gone) {
			return errors.New("it has not seen the mark")
		}
		return nil
	})
}

// Stop ends the monitor and returns the lines of the routes that were removed.
func (m *Monitor) Stop() []string {
	m.t.Helper()
	m.flush(2)
	m.process.Kill()
	var removed []string
	for line := range strings.Lines(m.process.Output()) {
		if rest, ok := strings.CutPrefix(line, "Deleted "); ok && slices.ContainsFunc(strings.Fields(rest), inPools) {
			removed = append(removed, strings.TrimSpace(rest))
		}
	}
	return removed
}

// inPools reports whether a word of ip's is an address or a prefix in a pool.
func inPools(word string) bool {
	p, err := netip.ParsePrefix(word)
	if err != nil {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return netip.MustParsePrefix(PoolIPv4).Overlaps(p) || netip.MustParsePrefix(PoolIPv6).Overlaps(p)
}

// Routes returns the routes inside the pools that the host's kernel holds, one
// a line, in the words of ip, without the numbers of next-hop objects.
func Routes(h *lab.Host) string {
	var routes []string
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(h.MustRun("ip", family, "route", "show")) {
			words := strings.Fields(line)
			if len(words) == 0 || !slices.ContainsFunc(words[:min(2, len(words))], inPools) {
				continue
			}
			if i := slices.Index(words, "nhid"); i >= 0 {
				words = slices.Delete(words, i, i+2)
			}
			routes = append(routes, strings.Join(words, " "))
		}
	}
	slices.Sort(routes)
	return strings.Join(routes, "\n")
}

// Forwarding is Routes without the blackholes of the host's blocks.
func Forwarding(h *lab.Host) string {
	lines := strings.Split(Routes(h), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "blackhole ") }), "\n")
}
