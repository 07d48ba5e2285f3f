package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostOf reads addresses written as "INDEX:INTERFACE CIDR [FLAG...]".
func hostOf(lines ...string) []hostAddress {
	var all []hostAddress
	for _, line := range lines {
		fields := strings.Fields(line)
		a := hostAddress{up: true, prefix: netip.MustParsePrefix(fields[1])}
		if _, err := fmt.Sscanf(strings.Replace(fields[0], ":", " ", 1), "%d %s", &a.LinkIndex, &a.link); err != nil {
			panic(err)
		}
		a.loopback = a.link == "lo"
		a.IPNet = &net.IPNet{IP: a.prefix.Addr().AsSlice(), Mask: net.CIDRMask(a.prefix.Bits(), a.prefix.Addr().BitLen())}
		for _, word := range fields[2:] {
			switch word {
			case "down":
				a.up = false
			case "host":
				a.Scope = unix.RT_SCOPE_HOST
			default:
				a.Flags |= map[string]int{
					"secondary": unix.IFA_F_SECONDARY, "temporary": unix.IFA_F_TEMPORARY, "deprecated": unix.IFA_F_DEPRECATED,
					"tentative": unix.IFA_F_TENTATIVE, "duplicate": unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED,
				}[word]
			}
		}
		all = append(all, a)
	}
	return all
}

func expressions(all ...string) []*regexp.Regexp {
	var list []*regexp.Regexp
	for _, e := range all {
		list = append(list, regexp.MustCompile(e))
	}
	return list
}

func cidrs(all ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range all {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// A host as they come: VIPs on lo, two uplinks, a management port, containers.
var usual = []string{
	"1:lo 127.0.0.1/8 host", "1:lo 10.9.9.9/32", "2:eth0 10.0.0.5/24", "3:eth1 10.1.0.5/24", "3:eth1 10.1.0.6/24 secondary",
	"4:mgmt0 192.168.0.5/24", "5:docker0 172.17.0.1/16", "6:vr1 169.254.1.1/32",
}

// TestChoose gives addresses, the method and the default route, and what every
// candidate is told, the chosen one with a star.
func TestChoose(t *testing.T) {
	first := Method{Kind: FirstFound}
	for _, test := range []struct {
		name   string
		addrs  []string
		method Method
		way    *wayOut
		source string
		want   []string
	}{
		{"nothing there", nil, first, nil, "", []string{"no address will do"}},
		{"first found", usual, first, &wayOut{links: []int{3}}, "", []string{
			"lo 10.9.9.9/32: interfaces of such a name are left out",
			"eth0 10.0.0.5/24: another comes first",
			"*eth1 10.1.0.5/24: first address of the default route's interface",
			"eth1 10.1.0.6/24: secondary",
			"mgmt0 192.168.0.5/24: another comes first",
			"docker0 172.17.0.1/16: interfaces of such a name are left out"}},
		{"two next hops, the first without an address", usual[:4], first, &wayOut{links: []int{9, 3}}, "", []string{
			"lo 10.9.9.9/32: interfaces of such a name are left out",
			"eth0 10.0.0.5/24: another comes first",
			"*eth1 10.1.0.5/24: first address of the default route's interface"}},
		{"no default route", usual[2:4], first, nil, "", []string{
			"*eth0 10.0.0.5/24: first address, where no interface has a default route",
			"eth1 10.1.0.5/24: another comes first"}},
		{"unnumbered uplink", usual[2:3], first, &wayOut{links: []int{9}}, "", []string{
			"*eth0 10.0.0.5/24: first address, where the interface of the default route has none that will do"}},
		{"preferred source", []string{"2:eth0 10.0.0.5/24", "2:eth0 10.0.1.5/32"}, first,
			&wayOut{links: []int{2}, source: netip.MustParseAddr("10.0.1.5")}, "", []string{
				"eth0 10.0.0.5/24: another comes first",
				"*eth0 10.0.1.5/32: preferred source of the default route"}},
		{"floating address before the own", []string{"2:eth0 10.0.0.200/32", "2:eth0 10.0.0.5/24"}, first, &wayOut{links: []int{2}}, "", []string{
			"eth0 10.0.0.200/32: another comes first",
			"*eth0 10.0.0.5/24: first address of the default route's interface"}},
		{"cloud with /32 only", []string{"2:eth0 10.0.0.5/32", "3:eth1 10.1.0.5/24"}, first, &wayOut{links: []int{2}}, "", []string{
			"*eth0 10.0.0.5/32: first address of the default route's interface; none has a network",
			"eth1 10.1.0.5/24: another comes first"}},
		{"only lo has one", usual[:2], first, nil, "", []string{
			"lo 10.9.9.9/32: interfaces of such a name are left out",
			"no address will do; 10.9.9.9/32 on lo can be had by interface=^lo$"}},
		{"unusable IPv4", []string{"2:eth0 169.254.3.4/16", "2:eth0 10.0.0.6/24 secondary", "3:eth1 10.1.0.5/24 down"}, first, nil, "", []string{
			"eth0 169.254.3.4/16: not a global unicast address", "eth0 10.0.0.6/24: secondary", "eth1 10.1.0.5/24: the interface is down",
			"no address will do"}},
		{"IPv6 with privacy addresses", []string{"2:eth0 2001:db8::a/64 temporary", "2:eth0 2001:db8::b/64 deprecated",
			"2:eth0 2001:db8::c/64 duplicate", "2:eth0 2001:db8::e/64 tentative", "2:eth0 fe80::1/64", "2:eth0 fd00::1/64",
			"3:cali1 fe80::ecee:eeff:feee:eeee/64"}, first, &wayOut{links: []int{2}}, "", []string{
			"eth0 2001:db8::a/64: temporary (RFC 8981)", "eth0 2001:db8::b/64: deprecated",
			"eth0 2001:db8::c/64: duplicate of an address on the link", "eth0 2001:db8::e/64: tentative: not yet known to be unique",
			"eth0 fe80::1/64: not a global unicast address", "*eth0 fd00::1/64: first address of the default route's interface"}},
		{"skip an interface", usual[2:6], Method{Kind: SkipInterface, Interfaces: expressions("^mgmt", "0$")}, &wayOut{links: []int{2}}, "", []string{
			"eth0 10.0.0.5/24: 0$ matches the interface",
			"*eth1 10.1.0.5/24: first address, where the interface of the default route has none that will do",
			"eth1 10.1.0.6/24: secondary",
			"mgmt0 192.168.0.5/24: ^mgmt matches the interface"}},
		{"by interface, in the order of the expressions", usual[1:5], Method{Kind: OnInterface, Interfaces: expressions("eth1", "eth")}, nil, "", []string{
			"lo 10.9.9.9/32: no expression matches the interface",
			"eth0 10.0.0.5/24: another comes first",
			"*eth1 10.1.0.5/24: first address of the interfaces that eth1 matches",
			"eth1 10.1.0.6/24: secondary"}},
		{"an interface that is left out otherwise", usual[6:7], Method{Kind: OnInterface, Interfaces: expressions("^docker0$")}, nil, "", []string{
			"*docker0 172.17.0.1/16: first address of the interfaces that ^docker0$ matches"}},
		{"lo asked for", usual[:3], Method{Kind: OnInterface, Interfaces: expressions("^lo$")}, nil, "", []string{
			"lo 127.0.0.1/8: not a global unicast address",
			"*lo 10.9.9.9/32: first address of the interfaces that ^lo$ matches; none has a network",
			"eth0 10.0.0.5/24: no expression matches the interface"}},
		{"lo among others", usual[:3], Method{Kind: OnInterface, Interfaces: expressions(".")}, nil, "", []string{
			"lo 127.0.0.1/8: not a global unicast address",
			"lo 10.9.9.9/32: another comes first",
			"*eth0 10.0.0.5/24: first address of the interfaces that . matches"}},
		{"by CIDR, in their order", usual[1:7], Method{Kind: InCIDR, CIDRs: cidrs("172.16.0.0/12", "10.0.0.0/8")}, nil, "", []string{
			"lo 10.9.9.9/32: alone on lo, taken for one that others have, too",
			"eth0 10.0.0.5/24: another comes first",
			"eth1 10.1.0.5/24: another comes first",
			"eth1 10.1.0.6/24: secondary",
			"mgmt0 192.168.0.5/24: in none of the CIDRs",
			"*docker0 172.17.0.1/16: first address in 172.16.0.0/12"}},
		{"a VIP by its CIDR", usual[1:3], Method{Kind: InCIDR, CIDRs: cidrs("10.9.9.9/32")}, nil, "", []string{
			"*lo 10.9.9.9/32: first address in 10.9.9.9/32; none has a network",
			"eth0 10.0.0.5/24: in none of the CIDRs"}},
		{"a VIP within a CIDR", usual[1:2], Method{Kind: InCIDR, CIDRs: cidrs("10.9.0.0/16")}, nil, "", []string{
			"lo 10.9.9.9/32: alone on lo, taken for one that others have, too",
			"no address will do; 10.9.9.9/32 on lo can be had by interface=^lo$"}},
		{"source", usual[1:4], Method{Kind: CanReach}, nil, "10.9.9.9", []string{
			"*lo 10.9.9.9/32: source towards tor",
			"eth0 10.0.0.5/24: not the source towards tor",
			"eth1 10.1.0.5/24: not the source towards tor"}},
		{"an address that all hosts have is the destination", usual[1:4], Method{Kind: CanReach, Destination: "10.9.9.9"}, nil, "10.9.9.9", []string{
			"lo 10.9.9.9/32: alone on lo, taken for one that others have, too",
			"eth0 10.0.0.5/24: not the source towards tor",
			"eth1 10.1.0.5/24: not the source towards tor",
			"10.9.9.9, the source towards tor, will not do; 10.9.9.9/32 on lo can be had by interface=^lo$"}},
		{"own address is the destination", usual[1:3], Method{Kind: CanReach, Destination: "10.0.0.5"}, nil, "10.0.0.5", []string{
			"lo 10.9.9.9/32: not the source towards tor",
			"*eth0 10.0.0.5/24: source towards tor"}},
		{"an address that no Node may have", []string{"2:eth0 192.0.2.0/24", "2:eth0 192.0.2.1/24"}, first, nil, "", []string{
			"eth0 192.0.2.0/24: it is the subnet",
			"*eth0 192.0.2.1/24: first address, where no interface has a default route"}},
		{"source that will not do", usual[:1], Method{Kind: CanReach}, nil, "127.0.0.1", []string{
			"lo 127.0.0.1/8: not a global unicast address",
			"127.0.0.1, the source towards tor, will not do"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := chooser{method: test.method, way: test.way, workload: func(name string) bool { return strings.HasPrefix(name, "vr") },
				check: func(p netip.Prefix) error {
					if p == netip.MustParsePrefix("192.0.2.0/24") {
						return errors.New("it is the subnet")
					}
					return nil
				}}
			if test.source != "" {
				c.source, c.towards = netip.MustParseAddr(test.source), "tor"
				c.target, _ = netip.ParseAddr(test.method.Destination)
			}
			found := c.choose(hostOf(test.addrs...))
			var got []string
			for _, c := range found.Candidates {
				star := ""
				if c.Chosen {
					star = "*"
					if found.Prefix != c.Prefix || found.Interface != c.Interface || found.Reason != c.Reason {
						t.Errorf("chose %+v, and says %+v", c, found)
					}
				}
				got = append(got, fmt.Sprintf("%s%s %s: %s", star, c.Interface, c.Prefix, c.Reason))
			}
			if !found.Prefix.IsValid() {
				got = append(got, found.Reason)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSettling: an address that may prove to be a duplicate is waited for where
// it would be chosen, and nowhere else.
func TestSettling(t *testing.T) {
	way := &wayOut{links: []int{2}}
	for _, test := range []struct {
		addrs string
		want  bool
	}{
		{"2:eth0 2001:db8::1/64 tentative", true},
		{"2:eth0 2001:db8::1/64 tentative|3:eth1 fd00::1/64", true},
		{"2:eth0 2001:db8::1/64|3:eth1 fd00::1/64 tentative", false},
		{"2:eth0 2001:db8::1/64 tentative|2:eth0 fd00::1/64", false},
		{"2:eth0 2001:db8::1/64 duplicate", false},
		{"2:eth0 2001:db8::1/64 tentative down", false},
		{"2:docker0 2001:db8::1/64 tentative", false},
		{"2:eth0 fe80::1/64 tentative", false},
	} {
		c := chooser{method: Method{Kind: FirstFound}, way: way}
		if found := c.choose(hostOf(strings.Split(test.addrs, "|")...)); found.Settling != test.want {
			t.Errorf("%s: %+v", test.addrs, found)
		}
	}
}

func TestSteady(t *testing.T) {
	for _, test := range []struct {
		interrupted int
		end         error
		calls       int
	}{{0, nil, 1}, {2, nil, 3}, {2, unix.ENOBUFS, 3}, {99, nil, dumpTries}} {
		calls := 0
		err := steady(func() error {
			if calls++; calls <= test.interrupted {
				return netlink.ErrDumpInterrupted
			}
			return test.end
		})
		if calls != test.calls || !errors.Is(err, test.end) {
			t.Errorf("%+v: %d calls, %v", test, calls, err)
		}
	}
}

func TestResolve(t *testing.T) {
	lookup := func(ctx context.Context, network, name string) ([]netip.Addr, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a lookup without an end")
		}
		if name != "tor" {
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		}
		return map[string][]netip.Addr{
			"ip4": {netip.MustParseAddr("::ffff:192.0.2.7"), netip.MustParseAddr("192.0.2.1")}, "ip6": {netip.MustParseAddr("2001:db8::1")},
		}[network], nil
	}
	for _, test := range []struct {
		family      int
		destination string
		want        string
	}{
		{netlink.FAMILY_V4, "tor", "[192.0.2.1 192.0.2.7] true <nil>"},
		{netlink.FAMILY_V6, "tor", "[2001:db8::1] true <nil>"},
		{netlink.FAMILY_V4, "spine", "[] true lookup spine: no such host"},
		{netlink.FAMILY_V4, "192.0.2.9", "[192.0.2.9] false <nil>"},
	} {
		all, named, err := resolve(t.Context(), test.family, test.destination, lookup)
		if got := fmt.Sprint(all, named, err); got != test.want {
			t.Errorf("%s: got %s, want %s", test.destination, got, test.want)
		}
	}
}
