package hostnet_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

const limit = 30 * time.Second

// in runs f with a Host of lab host h, inside it.
func in(t *testing.T, h *lab.Host, f func(*hostnet.Host) error) {
	t.Helper()
	err := h.Do(func() error {
		host, err := hostnet.Open(hclog.NewNullLogger(), hostnet.KernelSysctls())
		if err != nil {
			return err
		}
		defer host.Close()
		return f(host)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func noWorkload(string) bool { return false }

func TestWorkloadsReachEachOtherOnAPreparedHost(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	l := lab.New(t, "prepare")
	h := l.Host("h")
	// As machines have it: duplicates are looked for, and ARP is picky.
	h.SetSysctl("net.ipv6.conf.default.accept_dad", "1")
	h.SetSysctl("net.ipv6.conf.default.dad_transmits", "1")
	h.SetSysctl("net.ipv4.conf.default.arp_ignore", "1")
	w1 := h.Workload("w1", "vr.1", "10.65.0.1", "fd00:65::1") // a dot is legal in a name
	w2 := h.Workload("w2", "vr2", "10.65.0.2", "fd00:65::2")
	for _, w := range []*lab.Workload{w1, w2} {
		for _, p := range w.Addrs {
			h.MustRun("ip", "route", "add", p.String(), "dev", w.IfName)
		}
	}
	for range 2 { // twice is as good as once
		in(t, h, func(host *hostnet.Host) error {
			return errors.Join(host.Prepare(noWorkload),
				host.PrepareInterface(hostnet.Interface{Name: "vr.1"}),
				host.PrepareInterface(hostnet.Interface{Name: "vr2", Kind: hostnet.Tap}))
		})
	}
	out := h.MustRun("ip", "-6", "addr", "show", "dev", "vr.1")
	if strings.Count(out, hostnet.GatewayIPv6.String()) != 1 || strings.Contains(out, "tentative") {
		t.Errorf("addresses of vr.1:\n%s", out)
	}
	for _, dst := range w2.Addrs {
		lab.Eventually(t, limit, "w1 pings "+dst.String(), func() error { return w1.Ping(dst.Addr()) })
	}
	// A source that is another's does not pass.
	w1.AddAddr("eth0", "10.65.0.9/32")
	before := echoesSeen(t, w2.Host)
	_ = w1.PingFrom(netip.MustParseAddr("10.65.0.9"), netip.MustParseAddr("10.65.0.2"))
	asked := 0 // with the true source, each after the other one
	lab.Eventually(t, limit, "w1 pings from its own address", func() error {
		asked++
		return w1.PingFrom(netip.MustParseAddr("10.65.0.1"), netip.MustParseAddr("10.65.0.2"))
	})
	if n := echoesSeen(t, w2.Host) - before; n != asked {
		t.Errorf("%d echo requests reached the victim, want only the %d with the true source", n, asked)
	}
}

// echoesSeen is the number of ICMP echo requests that h has received.
func echoesSeen(t *testing.T, h *lab.Host) int {
	t.Helper()
	var names []string
	for line := range strings.Lines(h.MustRun("cat", "/proc/net/snmp")) {
		fields := strings.Fields(line)
		if fields[0] != "Icmp:" {
			continue
		}
		if i := slices.Index(names, "InEchos"); i > 0 {
			n, err := strconv.Atoi(fields[i])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		names = fields
	}
	t.Fatal("no count of echo requests")
	return 0
}

func TestPrepareInterface(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	l := lab.New(t, "iface")
	a, b := l.Host("a"), l.Host("b")
	mac := "02:00:00:00:00:01"
	l.Link(lab.Port{Host: a, Name: "veth", MAC: mac}, b.Port("p0"))
	l.Link(lab.Port{Host: a, Name: "port", MAC: mac}, b.Port("p1"))
	in(t, a, func(host *hostnet.Host) error {
		return errors.Join(
			host.PrepareInterface(hostnet.Interface{Name: "veth", Kind: hostnet.Veth}),
			host.PrepareInterface(hostnet.Interface{Name: "port", Kind: hostnet.Physical}),
			host.PrepareInterface(hostnet.Interface{Name: "absent"}),
			// Not names of links; must not reach conf/all.
			host.PrepareInterface(hostnet.Interface{Name: "all"}),
			host.PrepareInterface(hostnet.Interface{Name: "../all"}))
	})
	if got := a.Sysctl("net.ipv4.conf.all.rp_filter"); got != "0" {
		t.Errorf("conf.all.rp_filter is %s", got)
	}
	for name, want := range map[string]string{"veth": hostnet.GatewayMAC, "port": mac} {
		if out := a.MustRun("ip", "link", "show", name); !strings.Contains(out, want) {
			t.Errorf("MAC of %s is not %s: %s", name, want, out)
		}
		for key, value := range map[string]string{
			"net/ipv4/conf/%s/proxy_arp": "1", "net/ipv4/neigh/%s/proxy_delay": "0", "net/ipv4/conf/%s/forwarding": "1",
			"net/ipv4/conf/%s/rp_filter": "1", "net/ipv4/conf/%s/route_localnet": "0",
			"net/ipv6/conf/%s/forwarding": "1", "net/ipv6/conf/%s/accept_ra": "0",
		} {
			if got := a.Sysctl(fmt.Sprintf(key, name)); got != value {
				t.Errorf(key+" is %s, want %s", name, got, value)
			}
		}
	}
}

// TestReversePath: an interface whose workload may send from anywhere is not
// kept from it, not even by what holds for all, and is as before afterwards.
func TestReversePath(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	l := lab.New(t, "reversepath")
	a, b := l.Host("a"), l.Host("b")
	l.Link(a.Port("veth"), b.Port("p0"))
	for _, c := range []struct {
		all       string
		anySource bool
		want      string
	}{{"0", true, "0"}, {"0", false, "1"}, {"1", true, "2"}, {"1", false, "1"}} {
		a.SetSysctl("net.ipv4.conf.all.rp_filter", c.all)
		in(t, a, func(host *hostnet.Host) error {
			return host.PrepareInterface(hostnet.Interface{Name: "veth", AnySource: c.anySource})
		})
		if got := a.Sysctl("net.ipv4.conf.veth.rp_filter"); got != c.want {
			t.Errorf("%+v: rp_filter is %s", c, got)
		}
	}
}

func TestPrepareInterfaceLeavesTheHostsOwn(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	l := lab.New(t, "own")
	a, b := l.Host("a"), l.Host("b")
	mac := "02:00:00:00:00:01"
	for i, addr := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		up := fmt.Sprintf("up%d", i)
		l.Link(lab.Port{Host: a, Name: up, MAC: mac}, b.Port(up))
		a.MustRun("ip", "address", "add", addr, "dev", up)
	}
	in(t, a, func(host *hostnet.Host) error {
		for _, i := range []hostnet.Interface{
			{Name: "lo", Kind: hostnet.Physical}, {Name: "up0", Kind: hostnet.Veth}, {Name: "up1", Kind: hostnet.Tap},
		} {
			if err := host.PrepareInterface(i); err == nil || !strings.Contains(err.Error(), "interface "+i.Name+" ") {
				t.Errorf("%s: got error %v", i.Name, err)
			}
		}
		return nil
	})
	for _, name := range []string{"up0", "up1"} {
		if out := a.MustRun("ip", "link", "show", name); !strings.Contains(out, mac) {
			t.Errorf("MAC of %s is not %s: %s", name, mac, out)
		}
	}
	if got := a.Sysctl("net.ipv4.conf.lo.proxy_arp"); got != "0" {
		t.Errorf("conf.lo.proxy_arp is %s", got)
	}
}

func TestPrepareInterfaceWhereIPv6IsOff(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	l := lab.New(t, "nov6")
	a, b := l.Host("a"), l.Host("b")
	a.SetSysctl("net.ipv6.conf.default.disable_ipv6", "1")
	l.Link(a.Port("veth"), b.Port("p0"))
	in(t, a, func(host *hostnet.Host) error { return host.PrepareInterface(hostnet.Interface{Name: "veth"}) })
	if out := a.MustRun("ip", "-6", "addr", "show", "dev", "veth"); out != "" {
		t.Errorf("IPv6 was turned on: %s", out)
	}
}

func TestPrepareKeepsRouterAdvertisementsOnUplinks(t *testing.T) {
	testenv.Need(t, "root")
	l := lab.New(t, "ra")
	a, b := l.Host("a"), l.Host("b")
	l.Link(a.Port("up0"), b.Port("p0"))
	l.Link(a.Port("up1"), b.Port("p1"))
	l.Link(a.Port("vr1"), b.Port("p2"))
	a.SetSysctl("net.ipv6.conf.up1.accept_ra", "0")
	prepare := func() {
		in(t, a, func(host *hostnet.Host) error {
			return host.Prepare(func(name string) bool { return strings.HasPrefix(name, "vr") })
		})
	}
	prepare()
	l.Link(a.Port("later"), b.Port("p3"))
	prepare()
	for key, want := range map[string]string{
		"net.ipv6.conf.up0.accept_ra": "2", "net.ipv6.conf.up1.accept_ra": "0", "net.ipv6.conf.vr1.accept_ra": "1",
		"net.ipv6.conf.later.accept_ra": "1", // could be a workload's: forwarding was on already
		"net.ipv6.conf.all.forwarding":  "1", "net.ipv4.ip_forward": "1",
		"net.ipv4.fib_multipath_hash_policy": "1", "net.ipv6.fib_multipath_hash_policy": "1",
	} {
		if got := a.Sysctl(key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

func TestSysctlsWriteOnlyWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "net", "x")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := hostnet.SysctlsAt(dir)
	if old, err := s.Set("net/x", "1"); err != nil || old != "1" {
		t.Errorf("same value: %q, %v", old, err)
	}
	if data, _ := os.ReadFile(path); string(data) != "1\n" {
		t.Errorf("the file was written: %q", data)
	}
	if old, err := s.Set("net/x", "2"); err != nil || old != "1" {
		t.Errorf("other value: %q, %v", old, err)
	}
	if got, err := s.Get("net/x"); err != nil || got != "2" {
		t.Errorf("after Set: %q, %v", got, err)
	}
	if _, err := s.Set("net/absent", "1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent key: %v", err)
	}
	if names, err := s.List("net"); err != nil || len(names) != 1 || names[0] != "x" {
		t.Errorf("list: %q, %v", names, err)
	}
}

func TestFlushConntrack(t *testing.T) {
	testenv.Need(t, "root", "file:/proc/sys/net/netfilter/nf_conntrack_max")
	l := lab.New(t, "conntrack")
	h := l.Host("h")
	flow := func(src, dst string) *netlink.ConntrackFlow {
		s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
		f := &netlink.ConntrackFlow{FamilyType: unix.AF_INET, TimeOut: 100}
		if s.Is6() {
			f.FamilyType = unix.AF_INET6
		}
		f.Forward = netlink.IPTuple{SrcIP: s.AsSlice(), DstIP: d.AsSlice(), SrcPort: 1000, DstPort: 53, Protocol: unix.IPPROTO_UDP}
		f.Reverse = netlink.IPTuple{SrcIP: d.AsSlice(), DstIP: s.AsSlice(), SrcPort: 53, DstPort: 1000, Protocol: unix.IPPROTO_UDP}
		return f
	}
	in(t, h, func(host *hostnet.Host) error {
		for _, f := range []*netlink.ConntrackFlow{
			flow("10.65.0.1", "10.0.0.1"), flow("10.0.0.2", "10.65.0.1"), flow("10.65.0.2", "10.0.0.1"),
			flow("fd00:65::1", "fd00::1"), flow("fd00:65::2", "fd00::1"),
		} {
			if err := netlink.ConntrackCreate(netlink.ConntrackTable, netlink.InetFamily(f.FamilyType), f); err != nil {
				return fmt.Errorf("create a flow: %w", err)
			}
		}
		n, err := host.FlushConntrack(netip.MustParseAddr("10.65.0.1"), netip.MustParseAddr("fd00:65::1"))
		if err != nil || n != 3 {
			t.Errorf("flushed %d, %v; want 3", n, err)
		}
		if n, err := host.FlushConntrack(netip.MustParseAddr("10.65.0.1")); err != nil || n != 0 {
			t.Errorf("again: flushed %d, %v", n, err)
		}
		left, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		if err != nil || len(left) != 1 {
			t.Errorf("left %v, %v", left, err)
		}
		return nil
	})
}
