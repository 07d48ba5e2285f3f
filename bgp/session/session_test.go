package session

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

// endOfRIB is an UPDATE with nothing in it (RFC 4724 §2).
var endOfRIB = append([]byte{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 23, 2,
}, 0, 0, 0, 0)

func TestSessionComesUp(t *testing.T) {
	for name, change := range map[string]func(a, b *Config){
		"one end dials":   func(_, b *Config) { b.Passive = true },
		"both ends dial":  func(_, _ *Config) {},
		"external":        func(a, b *Config) { a.LocalAS, b.PeerAS = 4200000000, 4200000000 },
		"any external AS": func(a, b *Config) { a.LocalAS, b.PeerAS = 4200000000, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			a, b, ea, eb := pair(t, change)
			eventually(t, "both up", func() bool { return ea.up() && eb.up() })
			for _, p := range []*Peer{a, b} {
				s := p.Status()
				n := s.Negotiated
				if s.State != bgp.Established || n == nil {
					t.Fatalf("status %+v", s)
				}
				if n.HoldTime != bgp.DefaultHold || n.Keepalive != bgp.DefaultHold/3 || n.SendHold != 8*time.Minute {
					t.Errorf("hold %s, keepalive %s, send hold %s", n.HoldTime, n.Keepalive, n.SendHold)
				}
				if s.Established != 1 {
					t.Errorf("established %d times, %s", s.Established, s.LastError)
				}
				if !n.ExtendedMessage || !n.EnhancedRefresh || !n.Notification || n.Remote.Addr() != p.config.Peer.Addr() {
					t.Errorf("negotiated %+v", n)
				}
			}
			if err := ea.current().Writev(net.Buffers{endOfRIB, endOfRIB}, 2, 0); err != nil {
				t.Fatal(err)
			}
			eventually(t, "two updates", func() bool { return eb.received() == 2 })
			if in := b.Status().In; in.Updates != 2 || in.Opens == 0 || in.Octets < 2*23 {
				t.Errorf("counters %+v", in)
			}
			if err := ea.current().WriteRefresh(wire.RouteRefresh{Family: bgp.IPv4Unicast, Kind: wire.RefreshBegin}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "refresh", func() bool { eb.mu.Lock(); defer eb.mu.Unlock(); return len(eb.refresh) == 1 })
		})
	}
}

func TestStop(t *testing.T) {
	shutdown, err := wire.NewShutdown(wire.AdministrativeShutdown, "maintenance")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		say    *wire.Notification
		retain bool
		words  string
	}{
		"graceful":   {nil, true, "the peer closed the connection"},
		"shutdown":   {shutdown, true, "maintenance"},
		"hard reset": {shutdown.Hard(), false, "Hard Reset: Cease: Administrative Shutdown"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, ea, eb := pair(t)
			eventually(t, "both up", func() bool { return ea.up() && eb.up() })
			stopped(t, a, c.say)
			eventually(t, "the other end", func() bool { return len(eb.ends()) == 1 })
			why := eb.ends()[0]
			if why.Retain != c.retain || !strings.Contains(why.String(), c.words) {
				t.Errorf("retain %t, %q", why.Retain, why)
			}
			if last := b.Status().LastError; !strings.Contains(last, c.words) && !strings.Contains(last, "refused") {
				t.Errorf("last error %q", last)
			}
			if mine := ea.ends(); len(mine) != 1 || mine[0].Retain != c.retain || (mine[0].Sent != nil) != (c.say != nil) {
				t.Errorf("own end %+v", mine)
			}
			if ea.up() || a.State() != bgp.Idle {
				t.Errorf("stopped session is %s", a.State())
			}
		})
	}
}

func TestResetBeginsAnew(t *testing.T) {
	a, b, ea, eb := pair(t)
	eventually(t, "both up", func() bool { return ea.up() && eb.up() })
	ea.current().Reset(&wire.Notification{Code: wire.Cease, Subcode: wire.OutOfResources})
	eventually(t, "up again", func() bool {
		return len(ea.ends()) == 1 && len(eb.ends()) == 1 && ea.up() && eb.up()
	})
	if n := eb.ends()[0].Received; n == nil || n.Subcode != wire.OutOfResources {
		t.Errorf("end of the first session: %s", eb.ends()[0])
	}
	if a.Status().Established != 2 || b.Status().Established != 2 {
		t.Errorf("established %d and %d times", a.Status().Established, b.Status().Established)
	}
}

// TestBothDialAtOnce: of two connections made at the same time one stays, and
// no session is lost over it.
func TestBothDialAtOnce(t *testing.T) {
	na, nb := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0)
	collisions := 0
	for range 50 {
		ea, eb := newEngine(t), newEngine(t)
		a, b := na.prepared(na.config(nb), ea), nb.prepared(nb.config(na), eb)
		go a.Start()
		go b.Start()
		eventually(t, "both up", func() bool { return ea.up() && eb.up() })
		if a.Status().In.Opens > 1 || b.Status().In.Opens > 1 {
			collisions++
		}
		stopped(t, a, nil)
		stopped(t, b, nil)
		for _, p := range []*Peer{a, b} {
			if s := p.Status(); s.Established != 1 {
				t.Errorf("%s came up %d times: %s", p.config.Name, s.Established, s.LastError)
			}
		}
	}
	t.Logf("%d collisions", collisions)
}
