package wire

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

const limit = 2 * time.Minute // far beyond what either daemon takes

const birdPeer = `
router id 10.0.0.2;
protocol device { }
protocol static s4 { ipv4;
  route 10.9.0.1/32 blackhole { bgp_med = 5; bgp_community.add((65535,65281)); bgp_large_community.add((1,2,3)); };
  route 10.9.0.0/20 blackhole; route 0.0.0.0/0 blackhole; }
protocol static s6 { ipv6; route fd09::1/128 blackhole; route fd09::/48 blackhole; }
protocol bgp peer {
  local 10.0.0.2 as %[1]d; neighbor 10.0.0.1 as %[2]d; passive; enable as4 %[4]s;
  enable extended messages; graceful restart on; long lived graceful restart on; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; add paths %[3]s; };
  ipv6 { import all; export where source = RTS_STATIC; next hop self; add paths %[3]s; };
}
`

const frrPeer = `
frr defaults datacenter
ip route 10.9.0.1/32 blackhole
ip route 10.9.0.0/20 blackhole
ip route 0.0.0.0/0 blackhole
ipv6 route fd09::1/128 blackhole
ipv6 route fd09::/48 blackhole
router bgp 4200000001
 bgp router-id 10.0.0.2
 no bgp ebgp-requires-policy
 bgp graceful-restart
 neighbor 10.0.0.1 remote-as %d
 neighbor 10.0.0.1 passive
 address-family ipv4 unicast
  redistribute static route-map all
 exit-address-family
 address-family ipv6 unicast
  neighbor 10.0.0.1 activate
  redistribute static route-map all
 exit-address-family
!
route-map all permit 1
 set community 65535:65281
 set large-community 1:2:3
 set metric 5
!
`

// birdAndFRR is what each of them announces.
var birdAndFRR = [...]string{"0.0.0.0/0", "10.9.0.0/20", "10.9.0.1/32", "fd09::/48", "fd09::1/128"}

// TestInterop exchanges OPENs and routes of both families with BIRD and FRR:
// what they send is understood without fault, and they take what we send.
func TestInterop(t *testing.T) {
	testenv.Need(t, "root", "program:bird", "program:birdc", "program:bgpd", "program:zebra", "program:staticd", "program:vtysh")
	l := lab.New(t, "wire")
	us, bird, frr := l.Host("us"), l.Host("bird"), l.Host("frr")
	l.Link(us.Port("up0", "10.0.0.1/24", "2001:db8::1/64"), bird.Port("up0", "10.0.0.2/24", "2001:db8::2/64"))
	l.Link(us.Port("up1", "10.0.1.1/24", "2001:db8:1::1/64"), frr.Port("up0", "10.0.1.2/24", "2001:db8:1::2/64"))

	for _, c := range []struct {
		bird, us   uint32
		paths, as4 string
		path       string // that we sent; BIRD merges AS4_PATH itself
	}{
		{4200000001, 4200000001, "off", "on", "4200000007"},
		{4200000001, 4200000001, "on", "on", "4200000007"},
		{4200000001, 65001, "off", "on", "65001 65001 4200000007"},
		{4200000001, 65001, "on", "on", "65001 65001 4200000007"},
		{65003, 65001, "off", "off", "65001 65001 4200000007"},
	} {
		b := bird.BIRD(fmt.Sprintf(birdPeer, c.bird, c.us, c.paths, c.as4))
		table := func() (string, error) { return b.Birdc(t.Context(), "show", "route", "all", "protocol", "peer") }
		s := speak(t, us, "10.0.0.2:179", c.us)
		if s.n.PeerAS != c.bird || s.n.FourByteAS != (c.as4 == "on") {
			t.Errorf("negotiated %+v", s.n)
		}
		s.check(t, c.paths == "on")
		s.taken(t, table, "10.7.0.1/32", "fd07::1/128", "(64512,1)", "(64512, 2, 3)", "(generic, 0x", "BGP.as_path: "+c.path+"\n")
		b.Kill()
	}
	config := strings.ReplaceAll(frrPeer, "10.0.0.", "10.0.1.")
	f := frr.FRR(fmt.Sprintf(config, 4200000001), "staticd")
	table := func() (string, error) {
		return f.Vtysh(t.Context(), "show bgp ipv4 unicast 10.7.0.1/32", "show bgp ipv6 unicast fd07::1/128")
	}
	s := speak(t, us, "10.0.1.2:179", 4200000001)
	s.check(t, false)
	s.taken(t, table, "10.7.0.1/32", "fd07::1/128", "64512:1", "64512:2:3", "4200000007")
}

// speaker is one session over which everything was said once.
type speaker struct {
	conn net.Conn
	n    Negotiated
	told map[netip.Prefix]Attributes
	ids  map[netip.Prefix]uint32
}

// speak opens a session, announces a route of each family, and reads until
// End-of-RIB of both and all prefixes.
func speak(t *testing.T, from *lab.Host, to string, as uint32) *speaker {
	t.Helper()
	open := fullOpen()
	open.AS, open.RouterID = as, addr("10.0.0.1")
	open.Capabilities.Role, open.Capabilities.Others, open.Capabilities.AddPathSend = bgp.RoleNone, nil, both
	open.Capabilities.GracefulRestart.Restarting = false
	b, err := AppendOpen(nil, open)
	if err != nil {
		t.Fatal(err)
	}
	s := &speaker{told: map[netip.Prefix]Attributes{}, ids: map[netip.Prefix]uint32{}}
	var r *Reader
	// A daemon that has just started may accept a connection and close it.
	lab.Eventually(t, limit, to+" sends an OPEN", func() error {
		conn, err := from.DialContext(t.Context(), "tcp", to)
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		if _, err := conn.Write(b); err != nil {
			return err
		}
		s.conn, r = conn, NewReader(conn, 0)
		m, err := r.Next()
		if err == nil {
			s.n, err = s.open(t, m, open)
		}
		return err
	})
	if m := next(t, r); m.Type != TypeKeepalive {
		t.Fatalf("%s instead of KEEPALIVE", m.Type)
	}
	if s.n.ExtendedMessage {
		r.AllowExtended()
	}
	s.write(t, s.routes(t))
	s.read(t, r)
	return s
}

func (s *speaker) write(t *testing.T, b []byte) {
	t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// open answers the OPEN of the peer.
func (s *speaker) open(t *testing.T, m Message, local Open) (Negotiated, error) {
	t.Helper()
	if m.Type != TypeOpen {
		return Negotiated{}, fmt.Errorf("%s %x instead of OPEN", m.Type, m.Body)
	}
	peer, err := ParseOpen(m.Body)
	if err != nil {
		return Negotiated{}, err
	}
	t.Logf("%s says %v, unknown %v", s.conn.RemoteAddr(), peer.Capabilities.Names(), peer.Capabilities.Unknown)
	n, err := Negotiate(local, peer, false)
	if err != nil || n.Families != both || !n.GracefulRestart {
		t.Fatalf("negotiated %+v: %v", n, err)
	}
	s.write(t, AppendKeepalive(nil))
	return n, nil
}

func next(t *testing.T, r *Reader) Message {
	t.Helper()
	m, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if m.Type == TypeNotification {
		n, err := ParseNotification(m.Body)
		t.Fatalf("peer says %v %x: %v", n, n.Data, err)
	}
	return m
}

// routes is what we announce: one route with everything for each family.
func (s *speaker) routes(t *testing.T) (b []byte) {
	t.Helper()
	a := Attributes{
		ASPath:  ASPath{{ASSequence, []uint32{4200000007}}},
		NextHop: NextHop{Addr: s.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr()}, MED: 7, HasMED: true,
		Communities: []bgp.Community{64512<<16 | 1}, Large: []bgp.LargeCommunity{{Global: 64512, Local1: 2, Local2: 3}},
		Extended: []ExtendedCommunity{{0x43, 1, 2, 3, 4, 5, 6, 7}}, AtomicAggregate: true, Aggregator: Aggregator{AS: 4200000009, Addr: addr("10.7.0.9")},
		Unknown: []UnknownAttribute{{Type: 200, Value: []byte{1, 2, 3}}},
	}
	for _, f := range both.All() {
		p := "10.7.0.1/32"
		if f == bgp.IPv6Unicast {
			p, a.NextHop = "fd07::1/128", NextHop{Addr: addr("2001:db8::1")}
		}
		raw := AppendInternal(nil, a.Append(nil), 120, NextHop{})
		if s.n.External {
			raw = AppendExternal(nil, raw, External{AS: 65001, Prepend: 1, KeepMED: true})
		} else {
			raw = AppendReflected(nil, raw, addr("10.7.0.8"), addr("10.7.0.7"))
		}
		form := s.n.Form()
		one := func(yield func(netip.Prefix, uint32) bool) { yield(prefix(p), 9) }
		var err error
		if b, err = AppendAnnouncements(b, form, f, raw, one); err != nil {
			t.Fatal(err)
		}
		b = AppendEndOfRIB(b, f)
	}
	return b
}

func (s *speaker) read(t *testing.T, r *Reader) {
	t.Helper()
	var u Update
	// FRR ends the RIB before static routes have come to it, and may tell them
	// before it has read all of the route map.
	for ended := bgp.Families(0); ended != both || len(s.told) < len(birdAndFRR) || !s.mapped(); {
		m := next(t, r)
		if m.Type != TypeUpdate {
			continue
		}
		v := u.Parse(m.Body, s.n.Options())
		if v.Action != OK {
			t.Fatalf("%s: %x", v, m.Body)
		}
		checkConsistent(t, "interop", &u, v)
		ended = ended.With(u.EndOfRIB)
		for _, a := range u.Announced {
			attrs, err := ParseAttributes(a.Attributes)
			if err != nil {
				t.Fatal(err)
			}
			for p, id := range a.NLRI.All() {
				s.told[p], s.ids[p] = attrs, id
			}
		}
	}
}

// mapped reports whether the peer has told a route with all that its
// configuration gives it.
func (s *speaker) mapped() bool {
	one := s.told[prefix("10.9.0.1/32")]
	return len(one.Communities) > 0 && len(one.Large) > 0 && one.HasMED != s.n.External
}

// check checks what the peer told.
func (s *speaker) check(t *testing.T, ids bool) {
	t.Helper()
	var got []string
	for _, p := range slices.SortedFunc(maps.Keys(s.told), bgp.ComparePrefix) {
		got = append(got, p.String())
		if ids != (s.ids[p] != 0) {
			t.Errorf("%s has id %d", p, s.ids[p])
		}
		if len(s.told[p].ASPath) != 0 != s.n.External {
			t.Errorf("%s has AS_PATH %v", p, s.told[p].ASPath)
		}
	}
	if !slices.Equal(got, birdAndFRR[:]) {
		t.Errorf("told %v", got)
	}
	one := s.told[prefix("10.9.0.1/32")]
	if one.HasMED == s.n.External || fmt.Sprint(one.Communities, one.Large) != "[4294967041] [{1 2 3}]" {
		t.Errorf("told with %+v", one)
	}
	if six := s.told[prefix("fd09::1/128")]; !six.NextHop.Addr.Is6() || !six.NextHop.Addr.IsGlobalUnicast() {
		t.Errorf("next hop %+v", six.NextHop)
	}
}

// taken checks that the peer shows what we told, and ends the session.
func (s *speaker) taken(t *testing.T, table func() (string, error), want ...string) {
	t.Helper()
	lab.Eventually(t, limit, "the peer has our routes", func() error {
		text, err := table()
		for _, w := range want {
			if err == nil && !strings.Contains(text, w) {
				err = fmt.Errorf("no %s in %s", w, text)
			}
		}
		return err
	})
	n, err := NewShutdown(AdministrativeShutdown, "done")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, AppendNotification(nil, n))
	if _, err := io.Copy(io.Discard, s.conn); err != nil {
		t.Logf("close: %v", err)
	}
}
