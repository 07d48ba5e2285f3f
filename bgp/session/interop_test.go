package session

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

var (
	ourAddr    = netip.MustParseAddr("10.0.0.1")
	routerAddr = netip.MustParseAddr("10.0.0.2")
)

// routerHold is what a router must be told within; a busy machine may take seconds.
const routerHold = 9 * time.Second

// uplink is a node in a host of its own, on one link with a router's host, with
// port 179.
type uplink struct {
	*node
	host, router *lab.Host
}

func newUplink(t *testing.T) *uplink {
	l := lab.New(t, "session")
	u := &uplink{host: l.Host("us"), router: l.Host("router")}
	l.Link(u.host.Port("eth0", "10.0.0.1/24", "fd00::1/64"), u.router.Port("eth0", "10.0.0.2/24", "fd00::2/64"))
	dial := func(ctx context.Context, c Config) (sock net.Conn, err error) {
		err = u.host.Do(func() error { sock, err = Dial(ctx, c); return err })
		return sock, err
	}
	u.node = &node{t: t, addr: ourAddr, transport: NewTransport(testLog(), dial), peers: make(map[netip.Addr]*Peer)}
	err := u.host.Do(func() (err error) {
		u.listener, err = u.transport.Listen(t.Context(), netip.AddrPortFrom(ourAddr, bgp.DefaultPort), u.lookup)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.listener.Close() })
	return u
}

// config is that of a session with the router over the link.
func (u *uplink) config(peerAS uint32) Config {
	return Config{
		Name: "router", Peer: netip.AddrPortFrom(routerAddr, 0), Local: netip.AddrPortFrom(ourAddr, 0),
		LocalAS: 64512, PeerAS: peerAS, RouterID: ourAddr,
		Hold: routerHold, Keepalive: time.Second, ConnectRetry: time.Second, TTLSecurity: 1, Password: "secret",
	}
}

const birdConf = `
router id 10.0.0.2;
protocol device {}
protocol bgp vrouter {
	local 10.0.0.2 as 64512;
	neighbor 10.0.0.1 as 64512;
	direct; ttl security on; password "%s";
	hold time 9; keepalive time 1; connect delay time 3; connect retry time 1; error wait time 1, 2;
	graceful restart on; enable extended messages on;
	ipv4 { import all; export all; add paths on; };
	ipv6 { import all; export all; };
}
`

const frrConf = `
router bgp 65000
 bgp router-id 10.0.0.2
 bgp log-neighbor-changes
 no bgp ebgp-requires-policy
 bgp graceful-restart
 neighbor 10.0.0.1 remote-as 64512
 neighbor 10.0.0.1 password %s
 neighbor 10.0.0.1 ttl-security hops 1
 neighbor 10.0.0.1 timers 1 9
 neighbor 10.0.0.1 timers connect 1
 neighbor 10.0.0.1 advertisement-interval 0
 neighbor 10.0.0.1 capability extended-nexthop
`

// TestBIRD: signatures and TTL security on port 179 whoever dials, what is
// negotiated, what each end tells the other when it closes, and the return of a
// router that was killed. BIRD waits before it dials: of two connections that
// cross it may close the one that it has confirmed, when it hears of the other.
func TestBIRD(t *testing.T) {
	testenv.Need(t, "root", "program:bird", "program:birdc")
	u := newUplink(t)
	bird := u.router.BIRD(fmt.Sprintf(birdConf, "secret"))
	if err := u.listener.SetKey(netip.MustParsePrefix("10.0.0.2/32"), "secret"); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t)
	e.caps.AddPathSend = bgp.FamiliesOf(bgp.IPv4Unicast)
	p := u.peer(u.config(64512), e)
	established(t, p, e, 1)
	n := p.Status().Negotiated
	if n.Families != bgp.FamiliesOf(bgp.IPv4Unicast, bgp.IPv6Unicast) || !n.ExtendedMessage || !n.EnhancedRefresh ||
		!n.GracefulRestart || !n.AddPathSend.Has(bgp.IPv4Unicast) || n.RouterID != routerAddr || n.Keepalive != time.Second {
		t.Errorf("negotiated %+v", n)
	}
	staysUp(t, p)

	must(t, bird.Birdc, "disable", "vrouter", `"going away"`)
	eventually(t, "the shutdown", func() bool { return len(e.ends()) == 1 })
	if why := e.ends()[0].String(); !strings.Contains(why, `Administrative Shutdown: "going away"`) {
		t.Errorf("reason %q", why)
	}
	must(t, bird.Birdc, "enable", "vrouter")
	established(t, p, e, 2)
	p.SetPassive(true)
	bird.Kill()
	eventually(t, "the end", func() bool { return len(e.ends()) == 2 })
	if why := e.ends()[1]; !why.Retain {
		t.Errorf("killed: %+v", why)
	}
	bird.Start()
	established(t, p, e, 3)
	if p.Status().Negotiated.Dialled {
		t.Error("we dialled")
	}

	say, err := wire.NewShutdown(wire.AdministrativeShutdown, "moving house")
	if err != nil {
		t.Fatal(err)
	}
	stopped(t, p, say.Hard())
	eventually(t, "BIRD's reason", func() bool {
		out, err := bird.Birdc(t.Context(), "show", "protocols", "all", "vrouter")
		return err == nil && strings.Contains(out, "Administrative shutdown")
	})
}

// TestFRR: likewise with an external peer, and what it says of a wrong
// password.
func TestFRR(t *testing.T) {
	testenv.Need(t, "root", "program:bgpd", "program:zebra", "program:vtysh")
	u := newUplink(t)
	frr := u.router.FRR(fmt.Sprintf(frrConf, "secret"))
	if err := u.listener.SetKey(netip.MustParsePrefix("10.0.0.0/24"), "secret"); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t)
	p := u.peer(u.config(65000), e)
	established(t, p, e, 1)
	if n := p.Status().Negotiated; !n.External || n.PeerAS != 65000 || !n.GracefulRestart || !n.RouteRefresh || n.HoldTime != routerHold {
		t.Errorf("negotiated %+v", n)
	}
	staysUp(t, p)

	must(t, frr.Vtysh, "configure", "router bgp 65000", "neighbor 10.0.0.1 shutdown message going away")
	eventually(t, "the shutdown", func() bool { return len(e.ends()) == 1 })
	if why := e.ends()[0].String(); !strings.Contains(why, `Administrative Shutdown: "going away"`) {
		t.Errorf("reason %q", why)
	}
	must(t, frr.Vtysh, "configure", "router bgp 65000", "no neighbor 10.0.0.1 shutdown message going away", "no neighbor 10.0.0.1 shutdown")
	established(t, p, e, 2)

	say, err := wire.NewShutdown(wire.AdministrativeShutdown, "moving house")
	if err != nil {
		t.Fatal(err)
	}
	stopped(t, p, say)
	eventually(t, "FRR's reason", func() bool {
		return strings.Contains(frr.Process("bgpd").Output(), `Administrative Shutdown) "moving house"`)
	})
}

// established waits for the session to come up for the nth time.
func established(t *testing.T, p *Peer, e *engine, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the session for the %d. time", n), func() bool {
		return e.up() && p.Status().Established >= n
	})
	if s := p.Status(); s.Established != n {
		t.Errorf("came up %d times, last error %q", s.Established, s.LastError)
	}
}

// staysUp waits for more KEEPALIVEs, one in a second or a quarter less, than fit
// into one hold time.
func staysUp(t *testing.T, p *Peer) {
	t.Helper()
	before := p.Status()
	const more = 13
	eventually(t, "keepalives each way", func() bool {
		s := p.Status()
		return s.In.Keepalives >= before.In.Keepalives+more && s.Out.Keepalives >= before.Out.Keepalives+more
	})
	if s := p.Status(); s.Established != before.Established {
		t.Errorf("the session went down: %s", s.LastError)
	}
}

func must(t *testing.T, f func(context.Context, ...string) (string, error), words ...string) {
	t.Helper()
	if out, err := f(t.Context(), words...); err != nil {
		t.Fatalf("%v: %v: %s", words, err, out)
	}
}
