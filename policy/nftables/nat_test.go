package nftables

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/policy"
)

// seen is the source that an end sees of a datagram from the first workload.
func (s *site) seen(t *testing.T, to string, v4 bool) netip.AddrPort {
	t.Helper()
	h, addr4, addr6 := s.end(to)
	addr := map[bool]netip.Addr{true: addr4, false: addr6}[v4]
	var conn *net.UDPConn
	err := h.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: addr.AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var from netip.AddrPort
	lab.Eventually(t, time.Minute, "a datagram", func() error {
		s.sendTo(t, netip.AddrPortFrom(addr, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()))
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, from, err = conn.ReadFromUDPAddrPort(make([]byte, 16))
		return err
	})
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

func (s *site) sendTo(t *testing.T, to netip.AddrPort) {
	t.Helper()
	conn, err := s.workloads[0].DialContext(t.Context(), "udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
}

func TestNATOutgoing(t *testing.T) {
	s := newSite(t, 2)
	s.host.AddAddr("uplink", "192.0.2.77/24")
	own4, own6 := workloadAddr(1)
	host4, host6 := netip.MustParseAddr(hostAddr), netip.MustParseAddr(hostAddr6)
	for _, c := range []struct {
		name   string
		change func(*policy.Update)
		to     string
		v4, v6 netip.Addr
		ports  policy.PortRange
	}{
		{name: "masquerade", to: "out", v4: host4, v6: host6},
		{name: "between pools", to: "w2", v4: own4, v6: own6},
		{name: "spare nodes", to: "out", v4: own4, v6: host6, change: func(u *policy.Update) {
			u.Settings.NAT.SpareNodes = true
			withSet(policy.NodeSet, policy.Addresses, nets("192.0.2.2/32")...)(u)
		}},
		{name: "an address", to: "out", v4: netip.MustParseAddr("192.0.2.77"), v6: host6, change: func(u *policy.Update) {
			u.Settings.NAT.Address = netip.MustParseAddr("192.0.2.77")
		}},
		{name: "ports", to: "out", v4: host4, v6: host6, ports: policy.PortRange{First: 5000, Last: 5009}, change: func(u *policy.Update) {
			u.Settings.NAT.Ports = policy.PortRange{First: 5000, Last: 5009}
		}},
		{name: "an address and a port", to: "out", v4: netip.MustParseAddr("192.0.2.77"), v6: host6,
			ports: policy.PortRange{First: 5000, Last: 5000}, change: func(u *policy.Update) {
				u.Settings.NAT.Address = netip.MustParseAddr("192.0.2.77")
				u.Settings.NAT.Ports = policy.PortRange{First: 5000, Last: 5000}
			}},
		{name: "an interface", to: "out", v4: host4, v6: host6, change: func(u *policy.Update) { u.Settings.NAT.Interface = "upl+" }},
		{name: "another interface", to: "out", v4: own4, v6: own6, change: func(u *policy.Update) { u.Settings.NAT.Interface = "eth0" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := baseUpdate(2)
			rules(policy.Rule{Action: policy.Allow})(u)
			withSet(policy.MasqueradeSet, policy.Networks, nets("10.65.0.0/24", "fd00:65::/64")...)(u)
			withSet(policy.PoolSet, policy.Networks, nets("10.65.0.0/16", "10.66.0.0/24", "fd00:65::/64")...)(u)
			if c.change != nil {
				c.change(u)
			}
			s.sync(t, u)
			s.host.MustRun("conntrack", "-F")
			for _, v4 := range []bool{true, false} {
				want := map[bool]netip.Addr{true: c.v4, false: c.v6}[v4]
				got := s.seen(t, c.to, v4)
				if got.Addr() != want || c.ports.First != 0 && (got.Port() < c.ports.First || got.Port() > c.ports.Last) {
					t.Errorf("%s is seen as %s, want %s", c.to, got, want)
				}
			}
		})
	}
}

// TestNoTranslation looks for a chain that would have the kernel look for
// translations of every packet: it is there with members only, also when they
// are single addresses.
func TestNoTranslation(t *testing.T) {
	s := newState()
	one := nets("10.65.0.1/32")
	for _, step := range []struct {
		name   string
		change policy.SetChange
		rules  int
	}{
		{"empty", policy.SetChange{Kind: policy.Networks, New: true}, 0},
		{"one", policy.SetChange{Kind: policy.Networks, Add: one}, 1},
		{"none", policy.SetChange{Kind: policy.Networks, Remove: one}, 0},
	} {
		d := s.merge(&policy.Update{Sets: map[policy.SetID]*policy.SetChange{policy.MasqueradeSet: &step.change}})
		if got := len(s.postrouting().rules); got != step.rules || !d.base {
			t.Errorf("%s: %d rules, want %d; written anew: %t", step.name, got, step.rules, d.base)
		}
	}
}
