package hostnet_test

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// detecting is a host whose addresses are looked for.
type detecting struct {
	*testing.T
	host *lab.Host
	peer *lab.Host // at the other end of both uplinks
	opts hostnet.DetectOptions
}

// expect fails the test unless m finds v4, and v6 where v6 is given.
func (d *detecting) expect(m4, m6 hostnet.Method, v4, v6 string) {
	d.Helper()
	d.opts.IPv4, d.opts.IPv6 = m4, m6
	in(d.T, d.host, func(host *hostnet.Host) error {
		got, err := host.Detect(d.Context(), d.opts)
		for _, f := range []struct {
			got  hostnet.Found
			want string
		}{{got.IPv4, v4}, {got.IPv6, v6}} {
			text := ""
			if f.got.Prefix.IsValid() {
				text = f.got.Interface + " " + f.got.Prefix.String()
			}
			if text != f.want || f.got.Reason == "" {
				d.Errorf("%s and %s: detected %+v, want %q", m4.Kind, m6.Kind, f.got, f.want)
			}
		}
		return err
	})
}

func detectingHost(t *testing.T) *detecting {
	l := lab.New(t, "detect")
	a, b := l.Host("a"), l.Host("b")
	l.Link(a.Port("up0", "10.1.0.2/24", "fd00:1::2/64"), b.Port("p0", "10.1.0.1/24", "fd00:1::1/64"))
	l.Link(a.Port("up1", "10.2.0.2/24", "fd00:2::2/64"), b.Port("p1", "10.2.0.1/24"))
	return &detecting{T: t, host: a, peer: b, opts: hostnet.DetectOptions{
		Own: []uint8{118, 119, 120, 121}, Workload: func(name string) bool { return strings.HasPrefix(name, "vr") },
	}}
}

func TestDetect(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	d := detectingHost(t)
	first := hostnet.Method{Kind: hostnet.FirstFound}
	d.expect(hostnet.Method{}, hostnet.Method{}, "", "")
	d.expect(first, first, "up0 10.1.0.2/24", "up0 fd00:1::2/64")
	d.host.MustRun("ip", "route", "add", "default", "proto", "120", "via", "10.2.0.1")
	d.expect(first, first, "up0 10.1.0.2/24", "up0 fd00:1::2/64")
	d.host.MustRun("ip", "route", "add", "default", "metric", "200", "via", "10.2.0.1")
	d.expect(first, first, "up1 10.2.0.2/24", "up0 fd00:1::2/64")
	d.host.MustRun("ip", "route", "add", "default", "metric", "100", "nexthop", "via", "10.1.0.1", "nexthop", "via", "10.2.0.1")
	d.host.MustRun("ip", "route", "add", "default", "dev", "up1", "via", "fd00:2::9")
	d.expect(first, first, "up0 10.1.0.2/24", "up1 fd00:2::2/64")
	d.host.MustRun("ip", "link", "set", "up0", "down")
	d.expect(first, first, "up1 10.2.0.2/24", "up1 fd00:2::2/64")
}

func TestDetectByNameAndCIDR(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	d := detectingHost(t)
	named := func(kind hostnet.MethodKind, expressions ...string) hostnet.Method {
		m := hostnet.Method{Kind: kind}
		for _, e := range expressions {
			m.Interfaces = append(m.Interfaces, regexp.MustCompile(e))
		}
		return m
	}
	in := func(cidrs ...string) hostnet.Method {
		m := hostnet.Method{Kind: hostnet.InCIDR}
		for _, s := range cidrs {
			m.CIDRs = append(m.CIDRs, netip.MustParsePrefix(s))
		}
		return m
	}
	// VIPs, as load balancers have them, and what is usual on hosts.
	for _, command := range []string{
		"addr add 10.9.9.9/32 dev lo", "addr add fd00:9::9/128 dev lo nodad", "addr add 10.1.0.200/24 dev up0",
	} {
		d.host.MustRun(append([]string{"ip"}, strings.Fields(command)...)...)
	}
	w := d.host.Lab().Host("w")
	d.host.Lab().Link(d.host.Port("docker0", "172.17.0.1/16"), w.Port("eth0"))
	d.host.Lab().Link(d.host.Port("vr1", "10.1.7.7/24"), w.Port("eth1"))
	first := hostnet.Method{Kind: hostnet.FirstFound}
	d.expect(first, first, "up0 10.1.0.2/24", "up0 fd00:1::2/64")
	d.expect(named(hostnet.OnInterface, "up1", "up0"), named(hostnet.OnInterface, "^lo$"), "up1 10.2.0.2/24", "lo fd00:9::9/128")
	d.expect(named(hostnet.OnInterface, "^lo$"), named(hostnet.OnInterface, "eth"), "lo 10.9.9.9/32", "")
	d.expect(named(hostnet.SkipInterface, "up0"), named(hostnet.SkipInterface, "up"), "up1 10.2.0.2/24", "")
	d.expect(in("10.9.0.0/16", "10.2.0.0/16"), in("fd00:2::/32"), "up1 10.2.0.2/24", "up1 fd00:2::2/64")
	d.expect(in("10.9.9.9/32"), in("fd00:9::/64"), "lo 10.9.9.9/32", "")
	d.expect(in("10.1.7.0/24"), in("fd00:9::9/128"), "", "lo fd00:9::9/128")
	d.expect(in("172.16.0.0/12"), in("fe80::/10"), "docker0 172.17.0.1/16", "")
}

// TestAddresses: all that are global, also of interfaces that are down, and none
// of the link.
func TestAddresses(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	d := detectingHost(t)
	d.host.AddAddr("lo", "10.9.9.9/32")
	d.host.MustRun("ip", "link", "set", "up1", "down")
	in(t, d.host, func(host *hostnet.Host) error {
		got, err := host.Addresses()
		want := "map[lo:[10.9.9.9] up0:[10.1.0.2 fd00:1::2] up1:[10.2.0.2]]"
		if text := fmt.Sprint(got); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
		return err
	})
}

func TestDetectByDestination(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	d := detectingHost(t)
	to := func(destination string) hostnet.Method {
		return hostnet.Method{Kind: hostnet.CanReach, Destination: destination}
	}
	d.opts.Lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.2.0.7")}, nil
	}
	// A datagram, or the question for a neighbour that goes before it.
	sent := func() string {
		return d.host.MustRun("sh", "-c", "grep Udp: /proc/net/snmp; grep Udp6Out /proc/net/snmp6") + d.host.MustRun("ip", "-4", "neigh", "show")
	}
	before := sent()
	d.expect(to("10.2.0.9"), to("fd00:1::1"), "up1 10.2.0.2/24", "up0 fd00:1::2/64")
	d.expect(to("192.0.2.1"), to("2001:db8::1"), "", "")
	d.expect(to("tor.example"), hostnet.Method{}, "up1 10.2.0.2/24", "")
	d.expect(to("10.1.0.2"), hostnet.Method{}, "up0 10.1.0.2/24", "")
	if after := sent(); after != before {
		t.Errorf("looking for an address sent something:\n%s\nthen\n%s", before, after)
	}
	d.host.MustRun("ip", "addr", "add", "10.9.9.9/32", "dev", "lo")
	d.host.MustRun("ip", "route", "add", "default", "via", "10.2.0.1", "src", "10.9.9.9")
	d.expect(to("192.0.2.1"), hostnet.Method{}, "lo 10.9.9.9/32", "")
}

// following runs FollowDetection until the test ends, and returns what awaits
// that an IPv4 address is found.
func (d *detecting) following(again time.Duration) (await func(want string)) {
	ctx, cancel := context.WithCancel(d.Context())
	found, ended := make(chan string, 16), make(chan error, 1)
	go func() {
		ended <- d.host.Do(func() error {
			host, err := hostnet.Open(hclog.NewNullLogger(), hostnet.KernelSysctls())
			if err != nil {
				return err
			}
			defer host.Close()
			return host.FollowDetection(ctx, d.opts, func(got hostnet.Detection) time.Duration {
				select {
				case found <- got.IPv4.Prefix.String():
				case <-ctx.Done():
				}
				return again
			})
		})
	}()
	d.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			d.Error(err)
		}
	})
	return func(want string) {
		d.Helper()
		for {
			select {
			case got := <-found:
				if got == want {
					return
				}
			case <-time.After(limit):
				d.Fatalf("%s was not found", want)
			}
		}
	}
}

func TestFollowDetection(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	d := detectingHost(t)
	d.opts.IPv4 = hostnet.Method{Kind: hostnet.FirstFound}
	await := d.following(0)
	await("10.1.0.2/24")
	d.host.MustRun("ip", "addr", "del", "10.1.0.2/24", "dev", "up0")
	await("10.2.0.2/24")
	d.host.MustRun("ip", "addr", "add", "10.1.0.9/24", "dev", "up0")
	await("10.1.0.9/24")
}

// TestFollowDetectionOfWhatIsMissing: what no address tells of is seen, too,
// where somebody asks for that.
func TestFollowDetectionOfWhatIsMissing(t *testing.T) {
	testenv.Need(t, "root", "program:ip")
	d := detectingHost(t)
	d.host.MustRun("ip", "link", "set", "up1", "down")
	d.opts.IPv4 = reading("interface=up1")
	await := d.following(100 * time.Millisecond)
	await("invalid Prefix")
	d.host.MustRun("ip", "link", "set", "up1", "up")
	await("10.2.0.2/24")
}
