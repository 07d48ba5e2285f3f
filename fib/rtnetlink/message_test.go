package rtnetlink

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/fib"
)

func corpus() [][]byte {
	gateway4, gateway6 := netip.MustParseAddr("192.168.0.2"), netip.MustParseAddr("fd00::2")
	entries := []fib.Entry{
		{Prefix: netip.MustParsePrefix("10.0.0.1/32"), Table: 254, Metric: 118, Protocol: 118, Hops: []fib.Hop{{Index: 3}}},
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Table: 70000, Metric: 118, Protocol: 119, Hops: []fib.Hop{
			{Gateway: gateway4, Index: 3, Onlink: true}, {Gateway: gateway6, Index: 4, Weight: 7},
		}},
		{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Table: 254, Metric: 118, Protocol: 119, Hops: []fib.Hop{{Gateway: gateway6, Index: 4, Onlink: true}}},
		{Prefix: netip.MustParsePrefix("::/0"), Table: 254, Metric: 1, Protocol: 120, Object: 77, Src: gateway6},
		{Prefix: netip.MustParsePrefix("fd00::/64"), Table: 254, Metric: 118, Protocol: 121, Kind: fib.KindBlackhole},
	}
	objects := []fib.Object{
		{ID: 5, Protocol: 120, Hop: fib.Hop{Gateway: gateway4, Index: 3, Onlink: true}},
		{ID: 6, Protocol: 120, Family: fib.IPv6, Hop: fib.Hop{Gateway: gateway6, Index: 3}},
		{ID: 7, Protocol: 120, IsGroup: true, Group: []fib.Member{{ID: 5}, {ID: 6, Weight: 9}}},
	}
	var out [][]byte
	for _, e := range entries {
		var b builder
		b.route(1, fib.Replace, &e)
		out = append(out, b.b)
	}
	for _, o := range objects {
		var b builder
		b.object(2, fib.Create, &o)
		out = append(out, b.b)
	}
	return out
}

// collector is an observer that keeps what it is told.
type collector struct {
	entries []fib.Entry
	objects []fib.Object
}

func (c *collector) ObserveLink(fib.Link, fib.Presence)       {}
func (c *collector) ObserveAddress(fib.Address, fib.Presence) {}
func (c *collector) ObserveObject(o fib.Object, _ fib.Presence) {
	c.objects = append(c.objects, o)
}

func (c *collector) ObserveEntry(e fib.Entry, _ fib.Presence) {
	e.Hops = slices.Clone(e.Hops)
	c.entries = append(c.entries, e)
}

// What is written is what is read.
func TestWriteAndParse(t *testing.T) {
	for _, b := range corpus() {
		for m, err := range messages(b) {
			if err != nil {
				t.Fatal(err)
			}
			var c collector
			observe(m, 254, &c, nil)
			observe(m, 70000, &c, nil)
			var again builder
			for _, e := range c.entries {
				again.route(1, fib.Replace, &e)
			}
			for i, o := range c.objects {
				if i == 0 { // objects are of no table
					again.object(2, fib.Create, &o)
				}
			}
			if diff := cmp.Diff(b, again.b); diff != "" {
				t.Errorf("%+v %+v:\n%s", c.entries, c.objects, diff)
			}
		}
	}
}

func TestAckError(t *testing.T) {
	var b builder
	body := b.begin(unix.NLMSG_ERROR, unix.NLM_F_CAPPED|unix.NLM_F_ACK_TLVS, 9, 4+headerLen)
	errno := -int32(unix.EINVAL)
	native.PutUint32(body, uint32(errno))
	b.bytes(unix.NLMSGERR_ATTR_MSG, []byte("Nexthop has invalid gateway\x00"))
	b.end()
	for m, err := range messages(b.b) {
		if err != nil {
			t.Fatal(err)
		}
		err := ackError(m)
		if !errors.Is(err, unix.EINVAL) || err.Error() != "Nexthop has invalid gateway (invalid argument)" {
			t.Errorf("error %q", err)
		}
	}
}

// FuzzMessages feeds anything to the parsers: they must neither fail nor hand
// on what cannot be.
func FuzzMessages(f *testing.F) {
	for _, b := range corpus() {
		f.Add(b)
	}
	var links builder
	h := links.begin(unix.RTM_NEWLINK, 0, 1, ifinfomsgLen)
	native.PutUint32(h[4:], 3)
	links.bytes(unix.IFLA_IFNAME, []byte("eth0\x00"))
	links.end()
	a := links.begin(unix.RTM_DELADDR, 0, 1, ifaddrmsgLen)
	native.PutUint32(a[4:], 3)
	links.bytes(unix.IFA_LOCAL, []byte{10, 0, 0, 1})
	links.end()
	f.Add(links.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var hops [8]fib.Hop
		for m, err := range messages(b) {
			if err != nil {
				return
			}
			_ = ackError(m)
			var c collector
			observe(m, 254, &c, hops[:0])
			for _, e := range c.entries {
				if !e.Prefix.IsValid() {
					t.Errorf("an entry without a prefix: %+v", e)
				}
			}
		}
	})
}
