package hostnet

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// chooser chooses among the addresses of one family. It is a function of what
// it holds and of the addresses.
type chooser struct {
	method   Method
	workload func(name string) bool
	way      *wayOut // the default route, of FirstFound and SkipInterface; nil: none
	check    func(netip.Prefix) error
	source   netip.Addr // of CanReach
	target   netip.Addr // what source leads to
	towards  string     // the same in words
}

// rank orders candidates, the lowest first. Equal ones stay in their order.
type rank struct {
	argument int // the first of the method's arguments that selects it
	way      int // 0 the default route's source, then by its next hops, others last
	lone     int // 0 an address with a network, 1 one without, 2 one without on lo
}

func (r rank) less(s rank) bool {
	return slices.Compare([]int{r.argument, r.way, r.lone}, []int{s.argument, s.way, s.lone}) < 0
}

// choose chooses one of all, and says why it and no other.
func (c *chooser) choose(all []hostAddress) Found {
	var f Found
	best, bestRank := -1, rank{}
	var settling []rank
	for _, a := range all {
		r, reason := c.judge(a)
		switch {
		case reason == "":
			reason = "another comes first"
			if best < 0 || r.less(bestRank) {
				best, bestRank = len(f.Candidates), r
			}
		case reason == tentative:
			a.Flags &^= unix.IFA_F_TENTATIVE
			if r, reason := c.judge(a); reason == "" {
				settling = append(settling, r)
			}
		case c.omitted(a):
			continue
		}
		f.Candidates = append(f.Candidates, Candidate{Interface: a.link, Prefix: a.prefix, Reason: reason})
	}
	f.Settling = slices.ContainsFunc(settling, func(r rank) bool { return best < 0 || r.less(bestRank) })
	if best < 0 {
		f.Reason = c.whyNone(all)
		return f
	}
	chosen := &f.Candidates[best]
	chosen.Chosen, chosen.Reason = true, c.why(bestRank)
	f.Prefix, f.Interface, f.Reason = chosen.Prefix, chosen.Interface, chosen.Reason
	return f
}

// omitted tells whether not even a reason is wanted: interfaces of workloads
// are many and all alike, and the links' own addresses are nobody's idea.
func (c *chooser) omitted(a hostAddress) bool {
	return !a.prefix.Addr().IsGlobalUnicast() && c.leftOut(a) != ""
}

// judge says how good a candidate is, or why it is none.
func (c *chooser) judge(a hostAddress) (rank, string) {
	r := rank{way: c.wayOf(a)}
	if a.prefix.IsSingleIP() {
		r.lone = 1
		if a.loopback {
			r.lone = 2
		}
	}
	if reason := unusable(a); reason != "" {
		return r, reason
	}
	if reason := c.leftOut(a); reason != "" {
		return r, reason
	}
	switch c.method.Kind {
	case CanReach:
		switch {
		case a.prefix.Addr() != c.source:
			return r, "not the source towards " + c.towards
		case r.lone == 2 && c.source == c.target:
			return r, shared
		}
	case OnInterface:
		r.argument = c.expression(a.link)
	case InCIDR:
		r.argument = slices.IndexFunc(c.method.CIDRs, func(p netip.Prefix) bool { return p.Contains(a.prefix.Addr()) })
		switch {
		case r.argument < 0:
			return r, "in none of the CIDRs"
		case r.lone == 2 && !slices.Contains(c.method.CIDRs, a.prefix):
			return r, shared
		}
	}
	if c.check != nil {
		if err := c.check(a.prefix); err != nil {
			return r, err.Error()
		}
	}
	return r, ""
}

// shared is why a VIP is none.
const shared = "alone on lo, taken for one that others have, too"

// leftOut says why the method does not look at an interface; empty: it does.
func (c *chooser) leftOut(a hostAddress) string {
	switch c.method.Kind {
	case CanReach:
		return ""
	case OnInterface:
		if c.expression(a.link) < 0 {
			return "no expression matches the interface"
		}
		return ""
	}
	if c.workload != nil && c.workload(a.link) {
		return "the interface is a workload's"
	}
	if c.method.Kind == InCIDR {
		return ""
	}
	if c.method.Kind == SkipInterface {
		if i := c.expression(a.link); i >= 0 {
			return fmt.Sprintf("%s matches the interface", c.method.Interfaces[i])
		}
	}
	if a.loopback || isVirtual(a.link) {
		return "interfaces of such a name are left out"
	}
	return ""
}

// expression returns the first of the method's that matches a name, or -1.
func (c *chooser) expression(name string) int {
	for i, e := range c.method.Interfaces {
		if e.MatchString(name) {
			return i
		}
	}
	return -1
}

// isVirtual tells by the name of an interface that it is no way to others:
// bridges, tunnels and workloads of what usually runs on hosts. Calico leaves
// out the same.
func isVirtual(name string) bool {
	if name == "nodelocaldns" {
		return true
	}
	return slices.ContainsFunc([]string{
		"docker", "podman", "cbr", "dummy", "virbr", "lxcbr", "veth", "br-", "cali", "tunl", "flannel", "kube-ipvs",
		"cni", "vxlan.calico", "wireguard.cali",
	}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// wayOf says how near an address is to the default route. Where the method does
// not ask for that, all are equally near.
func (c *chooser) wayOf(a hostAddress) int {
	if c.way == nil {
		return 0
	}
	i := slices.Index(c.way.links, a.LinkIndex)
	switch {
	case i < 0:
		return math.MaxInt
	case a.prefix.Addr() == c.way.source:
		return 0
	}
	return 1 + i
}

// why says for what reason a candidate of that rank was chosen.
func (c *chooser) why(r rank) string {
	var reason string
	switch c.method.Kind {
	case CanReach:
		return "source towards " + c.towards
	case OnInterface:
		reason = fmt.Sprintf("first address of the interfaces that %s matches", c.method.Interfaces[r.argument])
	case InCIDR:
		reason = fmt.Sprintf("first address in %s", c.method.CIDRs[r.argument])
	default:
		switch {
		case c.way == nil:
			reason = "first address, where no interface has a default route"
		case r.way == 0:
			return "preferred source of the default route"
		case r.way == math.MaxInt:
			reason = "first address, where the interface of the default route has none that will do"
		default:
			reason = "first address of the default route's interface"
		}
	}
	if r.lone > 0 {
		reason += "; none has a network"
	}
	return reason
}

// whyNone says why nothing was chosen, and what is on lo, which is to be asked
// for by name.
func (c *chooser) whyNone(all []hostAddress) string {
	reason := "no address will do"
	if c.source.IsValid() {
		reason = fmt.Sprintf("%s, the source towards %s, will not do", c.source, c.towards)
	}
	i := slices.IndexFunc(all, func(a hostAddress) bool { return a.loopback && unusable(a) == "" })
	if i >= 0 && c.method.Kind != OnInterface {
		reason += fmt.Sprintf("; %s on %s can be had by interface=^%[2]s$", all[i].prefix, all[i].link)
	}
	return reason
}

// unusable says why a node cannot be known by an address; empty if it can.
func unusable(a hostAddress) string {
	has := func(flag int) bool { return a.Flags&flag != 0 }
	switch ip := a.prefix.Addr(); {
	case !ip.IsGlobalUnicast():
		return "not a global unicast address"
	case a.Scope != unix.RT_SCOPE_UNIVERSE:
		return "its scope is not global"
	// The flags of a secondary IPv4 and of a temporary IPv6 address are one.
	case ip.Is4() && has(unix.IFA_F_SECONDARY):
		return "secondary"
	case has(unix.IFA_F_TEMPORARY):
		return "temporary (RFC 8981)"
	case has(unix.IFA_F_DEPRECATED):
		return "deprecated"
	case has(unix.IFA_F_DADFAILED):
		return "duplicate of an address on the link"
	case !a.up:
		return "the interface is down"
	case has(unix.IFA_F_TENTATIVE):
		return tentative
	}
	return ""
}

const tentative = "tentative: not yet known to be unique"
