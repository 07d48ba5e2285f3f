package rtnetlink

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// host is a network namespace as the suite wants it: links are veth pairs, so
// that the other end decides about the carrier.
type host struct {
	*Kernel
	t     testing.TB
	ns    netns.NsHandle
	links *netlink.Handle
	other *Kernel // writes as somebody else
}

// newHost makes a network namespace without a name, which goes with the test.
func newHost(t testing.TB) *host {
	t.Helper()
	testenv.Need(t, "root")
	h := &host{t: t, ns: newNamespace(t)}
	t.Cleanup(func() { h.ns.Close() })
	var err error
	if h.links, err = netlink.NewHandleAt(h.ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.links.Close)
	h.Kernel, h.other = newKernel(t, h.ns), newKernel(t, h.ns)
	lo, err := h.links.LinkByName("lo")
	h.check(err)
	h.check(h.links.LinkSetUp(lo))
	return h
}

func newKernel(t testing.TB, ns netns.NsHandle) *Kernel {
	t.Helper()
	fd := int(ns)
	k, err := New(Options{Netns: &fd})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func newNamespace(t testing.TB) netns.NsHandle {
	t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := netns.Set(home); err != nil {
		t.Fatal(err) // the thread stays locked, and dies
	}
	runtime.UnlockOSThread()
	return ns
}

// in runs f in the namespace: for what follows the thread, as /proc/sys does.
func (h *host) in(f func()) {
	h.t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	h.check(err)
	defer home.Close()
	h.check(netns.Set(h.ns))
	f()
	h.check(netns.Set(home))
	runtime.UnlockOSThread()
}

func (h *host) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) link(name string) netlink.Link {
	h.t.Helper()
	l, err := h.links.LinkByName(name)
	h.check(err)
	return l
}

func (h *host) AddLink(name string) {
	h.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	h.check(h.links.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far-" + name}))
	h.check(h.links.LinkSetUp(h.link("far-" + name)))
	h.check(h.links.LinkSetUp(h.link(name)))
}

func (h *host) DeleteLink(name string) {
	h.t.Helper()
	h.check(h.links.LinkDel(h.link(name)))
}

func (h *host) SetUp(name string, up bool) {
	h.t.Helper()
	if up {
		h.check(h.links.LinkSetUp(h.link(name)))
		return
	}
	h.check(h.links.LinkSetDown(h.link(name)))
}

func (h *host) SetCarrier(name string, carrier bool) {
	h.t.Helper()
	h.SetUp("far-"+name, carrier)
}

func (h *host) AddAddress(name string, prefix netip.Prefix) {
	h.t.Helper()
	h.check(h.links.AddrReplace(h.link(name), address(prefix)))
}

func (h *host) DeleteAddress(name string, prefix netip.Prefix) {
	// IPv6 addresses go with the link; that is no error.
	_ = h.links.AddrDel(h.link(name), address(prefix))
}

func address(p netip.Prefix) *netlink.Addr {
	a, err := netlink.ParseAddr(p.String())
	if err != nil {
		panic(err)
	}
	if p.Addr().Is6() {
		a.Flags = 2 // IFA_F_NODAD: usable at once
	}
	return a
}

func (h *host) Index(name string) int32 {
	l, err := h.links.LinkByName(name)
	if err != nil {
		return 0
	}
	return int32(l.Attrs().Index)
}

func (h *host) Interfere(changes ...fib.Change) []error {
	return h.other.Apply(context.Background(), changes)
}

func (h *host) Append(e fib.Entry, first bool) {
	h.t.Helper()
	r := &netlink.Route{
		Dst:   &net.IPNet{IP: e.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(e.Prefix.Bits(), e.Prefix.Addr().BitLen())},
		Table: int(e.Table), Priority: int(e.Metric), Protocol: netlink.RouteProtocol(e.Protocol), LinkIndex: int(e.Hops[0].Index),
	}
	if e.Prefix.Addr().Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	if first {
		h.check(h.links.RouteAddEcmp(r)) // NLM_F_CREATE alone
		return
	}
	h.check(h.links.RouteAppend(r))
}

func TestKernelContract(t *testing.T) {
	fibtest.TestKernel(t, func(t *testing.T) fibtest.Host { return newHost(t) })
}

func TestTableWithObjects(t *testing.T) {
	fibtest.TestTable(t, func(t *testing.T) fibtest.Host { return newHost(t) }, false, 60)
}

func TestTablePlain(t *testing.T) {
	fibtest.TestTable(t, func(t *testing.T) fibtest.Host { return newHost(t) }, true, 60)
}
