package agent

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/rtnetlink"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// patience bounds the wait for a state that must come.
const patience = 60 * time.Second

// namespace is a network namespace without a name, which goes with the test.
type namespace struct {
	*rtnetlink.Kernel
	t     *testing.T
	links *netlink.Handle
	other *rtnetlink.Kernel // writes as somebody else
}

func newNamespace(t *testing.T) *namespace {
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
	t.Cleanup(func() { ns.Close() })
	n := &namespace{t: t}
	if n.links, err = netlink.NewHandleAt(ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.links.Close)
	n.Kernel, n.other = n.open(ns), n.open(ns)
	n.setUp("lo")
	return n
}

func (n *namespace) open(ns netns.NsHandle) *rtnetlink.Kernel {
	n.t.Helper()
	fd := int(ns)
	k, err := rtnetlink.New(rtnetlink.Options{Netns: &fd})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { k.Close() })
	return k
}

func (n *namespace) setUp(name string) netlink.Link {
	n.t.Helper()
	l, err := n.links.LinkByName(name)
	if err == nil {
		err = n.links.LinkSetUp(l)
	}
	n.check(err)
	return l
}

func (n *namespace) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *namespace) AddLink(name string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	n.check(n.links.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far-" + name}))
	n.setUp("far-" + name)
	n.setUp(name)
}

func (n *namespace) DeleteLink(name string) {
	n.t.Helper()
	n.check(n.links.LinkDel(n.setUp(name)))
}

func (n *namespace) AddAddress(name string, prefix netip.Prefix) {
	n.t.Helper()
	a, err := netlink.ParseAddr(prefix.String())
	n.check(err)
	n.check(n.links.AddrReplace(n.setUp(name), a))
}

func (n *namespace) Interfere(changes ...fib.Change) []error {
	return n.other.Apply(context.Background(), changes)
}

// await waits until the kernel holds what the world asks for.
func (w *walker) await(what string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		wrong := w.wrong()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s:\n%s\nafter %q", what, wrong, w.trace)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestWalkOnAKernel is TestWalk on the kernel of this machine, in real time.
func TestWalkOnAKernel(t *testing.T) {
	testenv.Need(t, "root")
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := realWalker(t, newWorld(), seed)
			w.run()
			for range 40 {
				w.step()
				if w.rng.IntN(5) == 0 && w.stop != nil && !w.away {
					w.await("under way")
				}
			}
			w.rest()
			w.await("in the end")
			fresh := realWalker(t, w.world, seed)
			fresh.run()
			fresh.await("fresh")
			w.await("still") // a sweep that came before its peers is made up for
		})
	}
}

func realWalker(t *testing.T, of *world, seed uint64) *walker {
	t.Helper()
	r := newRig(t)
	r.real = true
	w := newWalker(r, newNamespace(t), of, seed)
	t.Cleanup(w.finish)
	return w
}
