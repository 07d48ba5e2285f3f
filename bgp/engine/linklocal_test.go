package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestLinkLocal: a session between link-local addresses carries both families,
// one end dialling by the zone of its link, the other letting in a range, and
// next hops have the zone of the link over which they came.
func TestLinkLocal(t *testing.T) {
	testenv.Need(t, "root")
	t.Parallel()
	near, far := netip.MustParseAddr("fe80::a"), netip.MustParseAddr("fe80::b")
	// Names of links that were once are remembered by the net package.
	id := rand.N(uint32(1 << 24))
	nearLink, farLink := fmt.Sprintf("near%x", id), fmt.Sprintf("far%x", id)
	link(t, nearLink, farLink, near, far)
	start := func(id byte, at netip.Addr) *Engine {
		t.Helper()
		e := New(testLog(t))
		if err := e.Start(t.Context(), bgp.Settings{
			ASN: modelAS, RouterID: netip.AddrFrom4([4]byte{127, 3, 17, id}), ListenAddresses: []netip.Addr{at},
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { bgptest.Stop(t, e, false) })
		e.SetPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("fd00::/16")}})
		for _, p := range []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 0, id}), 32), netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: id}), 128),
		} {
			if err := e.Originate(p, bgp.Attributes{}); err != nil {
				t.Fatal(err)
			}
		}
		return e
	}
	dials, waits := start(1, near.WithZone(nearLink)), start(2, far.WithZone(farLink))
	base := bgp.Session{LocalAS: modelAS, PeerAS: modelAS, Families: bothFamilies, ExtendedNextHop: true}
	in, out := base, base
	in.Name, in.Range = "link", netip.MustParsePrefix("fe80::/10")
	out.Name, out.Peer, out.Local = "out", far.WithZone(nearLink), near
	set(t, waits, in)
	set(t, dials, out)
	has := func(e *Engine, prefix string, hop netip.Addr) func() bool {
		return func() bool {
			for entry := range e.Routes(bgp.Query{Within: netip.MustParsePrefix(prefix)}) {
				return entry.NextHop == hop && entry.Refused == ""
			}
			return false
		}
	}
	for what, f := range map[string]func() bool{
		"IPv4 where we dialled": has(dials, "10.1.0.2/32", far.WithZone(nearLink)),
		"IPv6 where we dialled": has(dials, "fd00::2/128", far.WithZone(nearLink)),
		"IPv4 at the other end": has(waits, "10.1.0.1/32", near.WithZone(farLink)),
		"IPv6 at the other end": has(waits, "fd00::1/128", near.WithZone(farLink)),
	} {
		wait(t, what, f)
	}
	if p := waits.Peers()[0]; p.Session.Name != "link/fe80::a%"+farLink || p.Range != in.Range {
		t.Errorf("session %q of range %s", p.Session.Name, p.Range)
	}
}

// link makes two ends of a link with an address each, for the test.
func link(t *testing.T, a, b string, addrA, addrB netip.Addr) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: a}, PeerName: b}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	for name, addr := range map[string]netip.Addr{a: addrA, b: addrB} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		on, err := netlink.ParseAddr(addr.String() + "/64")
		if err != nil {
			t.Fatal(err)
		}
		on.Flags = unix.IFA_F_NODAD
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(l, on); err != nil {
			t.Fatal(err)
		}
	}
}
