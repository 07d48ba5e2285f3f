package hostnet_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestCutFlows: flows are told as policy sees them, translated ones, too, and
// those that are denied are gone.
func TestCutFlows(t *testing.T) {
	testenv.Need(t, "root", "file:/proc/sys/net/netfilter/nf_conntrack_max")
	l := lab.New(t, "cutflows")
	h := l.Host("h")
	h.AddAddr("lo", "10.0.0.9/32")
	tuple := func(src string, sport uint16, dst string, dport uint16) netlink.IPTuple {
		return netlink.IPTuple{SrcIP: netip.MustParseAddr(src).AsSlice(), DstIP: netip.MustParseAddr(dst).AsSlice(),
			SrcPort: sport, DstPort: dport, Protocol: unix.IPPROTO_TCP}
	}
	create := func(original, reply netlink.IPTuple) error {
		f := &netlink.ConntrackFlow{FamilyType: unix.AF_INET, TimeOut: 100, Forward: original, Reverse: reply,
			ProtoInfo: &netlink.ProtoInfoTCP{State: 3}}
		if len(original.SrcIP) == 16 {
			f.FamilyType = unix.AF_INET6
		}
		return netlink.ConntrackCreate(netlink.ConntrackTable, netlink.InetFamily(f.FamilyType), f)
	}
	in(t, h, func(host *hostnet.Host) error {
		for _, f := range [][2]netlink.IPTuple{
			{tuple("10.65.0.1", 1000, "10.0.0.1", 80), tuple("10.0.0.1", 80, "10.65.0.1", 1000)},
			// Port 8080 of the host is translated to 80 of a workload, and the source to the host's.
			{tuple("192.0.2.1", 1000, "10.0.0.9", 8080), tuple("10.65.0.2", 80, "10.0.0.9", 2000)},
			{tuple("10.65.0.1", 1001, "10.0.0.9", 22), tuple("10.0.0.9", 22, "10.65.0.1", 1001)},
			{tuple("fd00::1", 1000, "fd00::2", 80), tuple("fd00::2", 80, "fd00::1", 1000)},
		} {
			if err := create(f[0], f[1]); err != nil {
				return fmt.Errorf("create a flow: %w", err)
			}
		}
		seen := func(denied func(*hostnet.Flow) bool) (int, string) {
			var list []string
			n, err := host.CutFlows(t.Context(), func(f *hostnet.Flow) bool {
				list = append(list, fmt.Sprintf("%d %s:%d %s:%d %t %t", f.Protocol, f.Source, f.SourcePort, f.Destination, f.DestinationPort, f.FromHost, f.ToHost))
				return denied(f)
			})
			if err != nil {
				t.Error(err)
			}
			slices.Sort(list)
			return n, strings.Join(list, "\n")
		}
		const kept = "6 10.65.0.1:1000 10.0.0.1:80 false false\n6 10.65.0.1:1001 10.0.0.9:22 false true"
		const all = "6 10.65.0.1:1000 10.0.0.1:80 false false\n6 10.65.0.1:1001 10.0.0.9:22 false true\n" +
			"6 192.0.2.1:1000 10.65.0.2:80 false false\n6 fd00::1:1000 fd00::2:80 false false"
		cut := func(f *hostnet.Flow) bool { return f.Source.Is6() || f.Destination == netip.MustParseAddr("10.65.0.2") }
		if n, got := seen(cut); n != 2 || got != all {
			t.Errorf("cut %d of\n%s\nwant 2 of\n%s", n, got, all)
		}
		if n, got := seen(cut); n != 0 || got != kept {
			t.Errorf("then cut %d of\n%s\nwant 0 of\n%s", n, got, kept)
		}
		return nil
	})
	// An echo request is told with its type.
	lab.Eventually(t, limit, "the host pings itself", func() error { return h.Ping(netip.MustParseAddr("10.0.0.9")) })
	in(t, h, func(host *hostnet.Host) error {
		_, err := host.CutFlows(t.Context(), func(f *hostnet.Flow) bool {
			if f.Protocol == unix.IPPROTO_ICMP && (f.ICMPType != 8 || !f.FromHost || !f.ToHost) {
				t.Errorf("an echo request of the host is told as %+v", f)
			}
			return false
		})
		return err
	})
}
