package hostnet_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// reading is a method as a table has it: KIND or KIND=ARGUMENT.
func reading(text string) hostnet.Method {
	kind, argument, _ := strings.Cut(text, "=")
	m := hostnet.Method{Kind: hostnet.MethodKind(kind)}
	switch m.Kind {
	case hostnet.CanReach:
		m.Destination = argument
	case hostnet.OnInterface, hostnet.SkipInterface:
		m.Interfaces = []*regexp.Regexp{regexp.MustCompile(argument)}
	case hostnet.InCIDR:
		m.CIDRs = []netip.Prefix{netip.MustParsePrefix(argument)}
	}
	return m
}

// TestDetectOnHostsAsTheyAre makes real hosts, each of two uplinks (up0 with the
// lower index), and asks by methods of both families: METHOD METHOD: FOUND, FOUND.
func TestDetectOnHostsAsTheyAre(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	for _, test := range []struct {
		name     string
		commands []string
		asks     []string
	}{
		{"IPv6 only, where routers advertise themselves on both links, in either order", []string{
			"ip addr flush dev up0", "ip -4 addr flush dev up1", "ip addr add fd00:1::2/64 dev up0 nodad",
			"ip -6 route add default via fd00:2::1 proto ra metric 1024", "ip -6 route append default via fd00:1::1 proto ra metric 1024",
		}, []string{
			"first-found first-found: -, up0 fd00:1::2/64",
			"can-reach=192.0.2.1 can-reach=2001:db8::1: -, up1 fd00:2::2/64",
			"interface=up can-reach=fd00:2::9: -, up1 fd00:2::2/64",
		}},
		{"addresses that will not last", []string{
			"sysctl -qw net.ipv6.conf.up0.use_tempaddr=2",
			"ip addr add fd00:9::2/64 dev up0 mngtmpaddr nodad", // makes a temporary one of the same network
			"ip addr add fd00:8::2/64 dev up0 nodad preferred_lft 0",
			"ip addr add 10.8.0.2/24 dev up0 preferred_lft 0",
			"ip addr del 10.1.0.2/24 dev up0", "ip addr del fd00:1::2/64 dev up0",
		}, []string{
			"first-found first-found: up1 10.2.0.2/24, up0 fd00:9::2/64",
			"cidr=10.8.0.0/16 cidr=fd00:8::/64: -, -",
			"interface=up0 can-reach=fd00:9::77: -, up0 fd00:9::2/64",
		}},
		{"a peer in place of a network", []string{
			"ip addr flush dev up0", "ip addr add 10.5.0.1 peer 10.5.0.2 dev up0", "ip addr add fd00:5::1 peer fd00:5::2 dev up0 nodad",
			"ip route add default dev up0", "ip -6 route add default dev up0",
		}, []string{
			"first-found first-found: up0 10.5.0.1/32, up0 fd00:5::1/128",
			"can-reach=10.5.0.2 can-reach=fd00:5::2: up0 10.5.0.1/32, up0 fd00:5::1/128",
			"cidr=10.5.0.0/30 cidr=fd00:5::/64: up0 10.5.0.1/32, up0 fd00:5::1/128",
			"skip-interface=up0 skip-interface=up0: up1 10.2.0.2/24, up1 fd00:2::2/64",
		}},
		{"a bridge upon an uplink, and a bond with a VLAN as the name has it", []string{
			"ip link add br0 type bridge", "ip link set up0 master br0", "ip link set br0 up",
			"ip link add bond0.7 type veth peer name other", "ip link set bond0.7 up", "ip addr flush dev up0",
			"ip addr add 10.6.0.2/24 dev br0", "ip addr add fd00:6::2/64 dev br0 nodad",
			"ip addr add 10.7.0.2/24 dev bond0.7", "ip addr add fd00:7::2/64 dev bond0.7 nodad",
			"ip route add default via 10.7.0.1", "ip -6 route add default via fd00:6::1",
		}, []string{
			"first-found first-found: bond0.7 10.7.0.2/24, br0 fd00:6::2/64",
			"interface=^br0$ interface=^up: br0 10.6.0.2/24, up1 fd00:2::2/64",
			"skip-interface=^(up1|bond) skip-interface=^br: br0 10.6.0.2/24, up1 fd00:2::2/64",
		}},
		{"default routes by metric, of no use, and of another table", []string{
			"ip route add unreachable default metric 5", "ip -6 route add unreachable default metric 5",
			"ip route add default via 10.2.0.1 metric 20", "ip -6 route add default via fd00:2::1 metric 20",
			"ip route add default via 10.1.0.1 metric 30", "ip -6 route add default via fd00:1::1 metric 30",
			"ip route add default via 10.1.0.1 table 77", "ip -6 route add default via fd00:1::1 table 77",
			"ip rule add to 192.0.2.0/24 lookup 77", "ip -6 rule add to 2001:db8::/64 lookup 77",
			"ip route add 198.51.100.0/24 via 10.2.0.1", "ip -6 route add 2001:db8:9::/48 via fd00:2::1",
		}, []string{
			"first-found first-found: up1 10.2.0.2/24, up1 fd00:2::2/64",
			"can-reach=192.0.2.1 can-reach=2001:db8::1: up0 10.1.0.2/24, up0 fd00:1::2/64", // as the kernel's rules have it
			"can-reach=198.51.100.1 can-reach=2001:db8:9::1: up1 10.2.0.2/24, up1 fd00:2::2/64",
			"can-reach=203.0.113.1 can-reach=2001:db8:1::1: -, -", // refused by the route of metric 5
		}},
		{"an address that all hosts have on lo", []string{
			"ip addr add 10.9.9.9/32 dev lo", "ip addr add fd00:9::9/128 dev lo nodad",
		}, []string{
			"can-reach=10.9.9.9 can-reach=fd00:9::9: -, -",
			"first-found first-found: up0 10.1.0.2/24, up0 fd00:1::2/64",
			"cidr=10.9.9.9/32 interface=^lo$: lo 10.9.9.9/32, lo fd00:9::9/128",
		}},
		{"links that are down", []string{
			"ip link set up0 down",
		}, []string{
			"first-found first-found: up1 10.2.0.2/24, up1 fd00:2::2/64",
			"interface=up0 interface=up0: -, -",
			"cidr=10.1.0.0/24 cidr=fd00:1::/64: -, -",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := detectingHost(t)
			for _, command := range test.commands {
				d.host.MustRun(strings.Fields(command)...)
			}
			for _, ask := range test.asks {
				methods, want, _ := strings.Cut(ask, ": ")
				m4, m6, _ := strings.Cut(methods, " ")
				v4, v6, _ := strings.Cut(want, ", ")
				d.expect(reading(m4), reading(m6), strings.TrimPrefix(v4, "-"), strings.TrimPrefix(v6, "-"))
			}
		})
	}
}

// TestDetectWhileUniquenessIsNotKnown: what may be a duplicate is told to be so, until the
// kernel knows.
func TestDetectWhileUniquenessIsNotKnown(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	d := detectingHost(t)
	d.host.SetSysctl("net.ipv6.conf.up0.accept_dad", "1")
	d.host.SetSysctl("net.ipv6.conf.up0.dad_transmits", "1")
	// Without a carrier nobody can be asked: it is not known for as long as that.
	d.peer.MustRun("ip", "link", "set", "p0", "down")
	d.host.MustRun("ip", "link", "set", "up0", "down")
	d.host.MustRun("ip", "link", "set", "up0", "up")
	d.host.MustRun("ip", "-6", "route", "add", "default", "dev", "up0")
	d.host.MustRun("ip", "addr", "add", "fd00:1::3/64", "dev", "up0")
	d.opts.IPv6 = hostnet.Method{Kind: hostnet.FirstFound}
	look := func() (found hostnet.Found) {
		in(t, d.host, func(host *hostnet.Host) error {
			got, err := host.Detect(t.Context(), d.opts)
			found = got.IPv6
			return err
		})
		return found
	}
	if got := look(); !got.Settling || got.Prefix.String() != "fd00:2::2/64" {
		t.Errorf("before: %+v", got)
	}
	d.peer.MustRun("ip", "link", "set", "p0", "up")
	lab.Eventually(t, limit, "the address is unique", func() error {
		if got := look(); got.Settling || got.Prefix.String() != "fd00:1::3/64" {
			return fmt.Errorf("found %+v", got)
		}
		return nil
	})
}

// TestDetectBesideChanges: links that come and go while they are listed, as where
// containers start, keep nobody from being found.
func TestDetectBesideChanges(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	d := detectingHost(t)
	// So many that the kernel takes several messages to list them.
	d.host.MustRun("sh", "-c", "for i in $(seq 100); do echo link add w$i type bridge; done | ip -batch -")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = d.host.Run(t.Context(), "sh", "-c", "for i in 1 2 3 4; do ip link add vr$i type bridge; ip addr add 10.3.$i.1/24 dev vr$i; done;"+
					"for i in 1 2 3 4; do ip link del vr$i; done")
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	first := hostnet.Method{Kind: hostnet.FirstFound}
	for range 200 {
		d.expect(first, first, "up0 10.1.0.2/24", "up0 fd00:1::2/64")
	}
}
