package hostnet

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func kernelAddr(cidr string, flags int) netlink.Addr {
	ip, n, err := net.ParseCIDR(cidr)
	if err != nil {
		panic(err)
	}
	return netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: n.Mask}, Flags: flags}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		name      string
		addrs     []netlink.Addr
		preferred string
		want      string // chosen prefix
		reasons   []string
	}{
		{
			name:    "none",
			reasons: nil,
		},
		{
			name:    "first of two networks",
			addrs:   []netlink.Addr{kernelAddr("10.0.0.5/24", 0), kernelAddr("10.0.1.5/24", 0)},
			want:    "10.0.0.5/24",
			reasons: []string{"first address of the default route's interface", "another comes first"},
		},
		{
			name:      "preferred source",
			addrs:     []netlink.Addr{kernelAddr("10.0.0.5/24", 0), kernelAddr("10.0.1.5/24", 0)},
			preferred: "10.0.1.5",
			want:      "10.0.1.5/24",
			reasons:   []string{"another comes first", "preferred source of the default route"},
		},
		{
			name:    "floating address before the own",
			addrs:   []netlink.Addr{kernelAddr("10.0.0.200/32", 0), kernelAddr("10.0.0.5/24", 0)},
			want:    "10.0.0.5/24",
			reasons: []string{"another comes first", "first address of the default route's interface"},
		},
		{
			name:    "cloud with /32 only",
			addrs:   []netlink.Addr{kernelAddr("10.0.0.5/32", 0)},
			want:    "10.0.0.5/32",
			reasons: []string{"first address of the default route's interface, which has none with a network"},
		},
		{
			name:    "unusable IPv4",
			addrs:   []netlink.Addr{kernelAddr("169.254.3.4/16", 0), kernelAddr("10.0.0.6/24", unix.IFA_F_SECONDARY)},
			reasons: []string{"not a global unicast address", "secondary"},
		},
		{
			name: "IPv6 with privacy addresses",
			addrs: []netlink.Addr{
				kernelAddr("2001:db8::a/64", unix.IFA_F_TEMPORARY), kernelAddr("2001:db8::b/64", unix.IFA_F_DEPRECATED),
				kernelAddr("2001:db8::c/64", unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED), kernelAddr("2001:db8::e/64", unix.IFA_F_TENTATIVE),
				kernelAddr("fe80::1/64", 0), kernelAddr("fd00::1/64", 0),
			},
			want: "fd00::1/64",
			reasons: []string{"temporary (RFC 8981)", "deprecated", "duplicate of an address on the link",
				"tentative: not yet known to be unique", "not a global unicast address", "first address of the default route's interface"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var preferred netip.Addr
			if test.preferred != "" {
				preferred = netip.MustParseAddr(test.preferred)
			}
			found := choose("eth0", test.addrs, preferred)
			want := netip.Prefix{}
			if test.want != "" {
				want = netip.MustParsePrefix(test.want)
			}
			if found.Prefix != want || found.Reason == "" {
				t.Errorf("chose %v (%s), want %v", found.Prefix, found.Reason, want)
			}
			for i, c := range found.Candidates {
				if c.Reason != test.reasons[i] || c.Chosen != (c.Prefix == want) {
					t.Errorf("candidate %+v, want reason %q", c, test.reasons[i])
				}
			}
			if len(found.Candidates) != len(test.reasons) {
				t.Errorf("%d candidates, want %d", len(found.Candidates), len(test.reasons))
			}
		})
	}
}
