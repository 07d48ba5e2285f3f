package iptables

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/policy"
)

// An end is the source or the destination of a packet.
type end bool

const (
	source      end = false
	destination end = true
)

// word is what -m set calls the end, letter what -s and -d are.
func (e end) word() string {
	if e == destination {
		return "dst"
	}
	return "src"
}

func (e end) letter() string { return e.word()[:1] }

func (e end) side(r *policy.Rule) *policy.Side {
	if e == destination {
		return &r.Destination
	}
	return &r.Source
}

func ends() []end { return []end{source, destination} }

func not(negated bool) string {
	if negated {
		return "! "
	}
	return ""
}

func and(matches ...string) string {
	return strings.Join(slices.DeleteFunc(matches, func(m string) bool { return m == "" }), " ")
}

func matchProtocol(protocol uint8, negated bool) string {
	return fmt.Sprintf("%s-p %d", not(negated), protocol)
}

func matchICMP(f *family, icmp *policy.ICMP, negated bool) string {
	value := fmt.Sprint(icmp.Type)
	if icmp.Code != nil {
		value = fmt.Sprintf("%d/%d", icmp.Type, *icmp.Code)
	}
	return fmt.Sprintf(f.icmpMatch, not(negated), value)
}

func matchNet(e end, p netip.Prefix, negated bool) string {
	return fmt.Sprintf("%s-%s %s", not(negated), e.letter(), p)
}

func matchSet(e end, set string, negated bool) string {
	return fmt.Sprintf("-m set %s--match-set %s %s", not(negated), set, e.word())
}

// matchPortSet looks up address, protocol and port of one end.
func matchPortSet(e end, set string, negated bool) string {
	return fmt.Sprintf("-m set %s--match-set %s %s,%s", not(negated), set, e.word(), e.word())
}

// slotsOfPorts is how many ports a match takes; a range counts for two.
const slotsOfPorts = 15

// matchPorts renders as many matches as the ports need. One must hold; when
// negated, all must.
func matchPorts(e end, ranges []policy.PortRange, negated bool) []string {
	var out, words []string
	slots := 0
	flush := func() {
		if len(words) > 0 {
			out = append(out, fmt.Sprintf("-m multiport %s--%sports %s", not(negated), e.letter(), strings.Join(words, ",")))
		}
		words, slots = nil, 0
	}
	for _, r := range sorted(ranges) {
		n := 2
		if r.First == r.Last {
			n = 1
		}
		if slots+n > slotsOfPorts {
			flush()
		}
		words = append(words, r.String())
		slots += n
	}
	flush()
	return out
}

func sorted(ranges []policy.PortRange) []policy.PortRange {
	out := slices.Clone(ranges)
	slices.SortFunc(out, func(a, b policy.PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	return slices.Compact(out)
}

func onePort(port uint16) []policy.PortRange { return []policy.PortRange{{First: port, Last: port}} }

// toPort matches packets to one port.
func toPort(protocol uint8, port uint16) string {
	return and(matchProtocol(protocol, false), matchPorts(destination, onePort(port), false)[0])
}

// hasPorts tells whether -m multiport knows the protocol.
func hasPorts(protocol uint8) bool {
	switch protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP:
		return true
	}
	return false
}

// A device is the interface that a packet came in or goes out by.
type device string

const (
	iif device = "-i"
	oif device = "-o"
)

// is holds for one interface, isNot for all others, begins for a prefix.
func (d device) is(name string) string       { return string(d) + " " + quote(name) }
func (d device) isNot(name string) string    { return "! " + string(d) + " " + quote(name) }
func (d device) begins(prefix string) string { return string(d) + " " + quote(prefix+"+") }

// canMatch tells whether iptables can name an interface: a last + means any
// ending to it.
func canMatch(iface string) bool { return iface != "" && !strings.HasSuffix(iface, "+") }

func matchState(states string) string { return "-m conntrack --ctstate " + states }
