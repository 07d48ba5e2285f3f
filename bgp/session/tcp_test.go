package session

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/projectvrouter/vrouter/bgp"
)

func TestPasswordIsNotPrinted(t *testing.T) {
	c := Config{Password: "secret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, c); strings.Contains(s, "secret") {
			t.Errorf("%s: %s", format, s)
		}
	}
	if s := bgp.Password("").String(); s != "none" {
		t.Error(s)
	}
}

// keyed gives both ends of a session a password, with the key of each on the
// other's listener.
func keyed(t *testing.T, na, nb *node, wa, wb bgp.Password) (a, b *Peer, ea, eb *engine) {
	t.Helper()
	ea, eb = newEngine(t), newEngine(t)
	ca, cb := na.config(nb), nb.config(na)
	ca.Password, cb.Password = wa, wb
	for n, w := range map[*node]bgp.Password{na: wa, nb: wb} {
		o := na
		if n == na {
			o = nb
		}
		if err := n.listener.SetKey(netip.PrefixFrom(o.addr, o.addr.BitLen()), w); err != nil {
			t.Fatal(err)
		}
	}
	return na.peer(ca, ea), nb.peer(cb, eb), ea, eb
}

func TestMD5(t *testing.T) {
	for name, addrs := range map[string][2]string{"ipv4": {"127.0.0.1", "127.0.0.2"}, "ipv6": {"::1", "::1"}} {
		t.Run(name, func(t *testing.T) {
			na, nb := newNode(t, addrs[0], 0), newNode(t, addrs[1], 0)
			_, _, ea, eb := keyed(t, na, nb, "one", "one")
			eventually(t, "both up", func() bool { return ea.up() && eb.up() })
		})
	}
}

func TestMD5WrongPassword(t *testing.T) {
	na, nb := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0)
	a, _, ea, _ := keyed(t, na, nb, "one", "other")
	eventually(t, "a reason that names the signature", func() bool {
		return strings.Contains(a.Status().LastError, "TCP MD5 signature: check the password")
	})
	if ea.up() || strings.Contains(a.Status().LastError, "one") {
		t.Errorf("up %t, %q", ea.up(), a.Status().LastError)
	}
}

// TestMD5KeyChange: a session gets another password while one of another peer
// goes on, and a removed key no longer stands in the way.
func TestMD5KeyChange(t *testing.T) {
	na, nb, nc := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0), newNode(t, "127.0.0.3", 0)
	ab, ba, eab, eba := keyed(t, na, nb, "one", "one")
	ac, _, eac, eca := keyed(t, na, nc, "three", "three")
	eventually(t, "both sessions", func() bool { return eab.up() && eba.up() && eac.up() && eca.up() })
	before := ac.Status()
	for _, w := range []bgp.Password{"two", ""} {
		stopped(t, ab, nil)
		stopped(t, ba, nil)
		ab, ba, eab, eba = keyed(t, na, nb, w, w)
		eventually(t, "the session with its new password", func() bool { return eab.up() && eba.up() })
	}
	if s := ac.Status(); s.Established != before.Established || s.LastErrorAt != before.LastErrorAt {
		t.Errorf("the other session: %+v, before %+v", s, before)
	}
	if err := eac.current().Write(endOfRIB, 1); err != nil {
		t.Error(err)
	}
	eventually(t, "an update over the other session", func() bool { return eca.received() == 1 })
}

// TestMD5Prefix: one key for all neighbours of a prefix.
func TestMD5Prefix(t *testing.T) {
	na, nb := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0)
	ca, cb := na.config(nb), nb.config(na)
	ca.Passive, cb.Password = true, "group"
	if err := na.listener.SetKey(netip.MustParsePrefix("127.0.0.0/24"), "group"); err != nil {
		t.Fatal(err)
	}
	ea, eb := newEngine(t), newEngine(t)
	na.peer(ca, ea)
	nb.peer(cb, eb)
	eventually(t, "both up", func() bool { return ea.up() && eb.up() })
	if err := na.listener.SetKey(netip.MustParsePrefix("127.0.0.0/24"), bgp.Password(strings.Repeat("x", 81))); err == nil {
		t.Error("a password of 81 octets is taken")
	}
}

func TestTTLSecurity(t *testing.T) {
	for name, addrs := range map[string][2]string{"ipv4": {"127.0.0.1", "127.0.0.2"}, "ipv6": {"::1", "::1"}} {
		t.Run(name, func(t *testing.T) {
			na, nb := newNode(t, addrs[0], 0), newNode(t, addrs[1], 0)
			ca, cb := na.config(nb), nb.config(na)
			ca.TTLSecurity, cb.TTLSecurity = 1, 1
			ea, eb := newEngine(t), newEngine(t)
			na.peer(ca, ea)
			nb.peer(cb, eb)
			eventually(t, "both up", func() bool { return ea.up() && eb.up() })
		})
	}
}

// TestTTLSecurityOfOneEnd: what comes with the TTL of an ordinary host is
// dropped, so the other end stays in Connect or OpenSent.
func TestTTLSecurityOfOneEnd(t *testing.T) {
	na, nb := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0)
	ca, cb := na.config(nb), nb.config(na)
	ca.TTLSecurity, cb.Passive = 1, true
	ea, eb := newEngine(t), newEngine(t)
	before := dropped(t)
	a := na.peer(ca, ea)
	nb.peer(cb, eb)
	// SYN-ACKs of a listener have TTL 255, and so the dial succeeds; the
	// OPEN comes with 64.
	eventually(t, "our OPEN", func() bool { return a.Status().Out.Opens > 0 })
	eventually(t, "their OPEN to be dropped", func() bool { return dropped(t) > before })
	if ea.up() || eb.up() {
		t.Error("the session is up")
	}
	if hint := a.DropHint(); !strings.Contains(hint, "with a TTL too low for TTL security: check TTL security at both ends") {
		t.Errorf("hint %q", hint)
	}
}

// TestDropHint: only what the session asks the kernel to drop is told of it.
func TestDropHint(t *testing.T) {
	for _, tt := range []struct {
		now  drops
		want string
	}{
		{drops{}, ""},
		{drops{wrong: 2, missing: 1}, "this host has dropped 2 segments with a wrong TCP MD5 signature, " +
			"1 segments without the TCP MD5 signature that was expected: check the password at both ends"},
		{drops{unexpected: 1, far: 3}, "this host has dropped 1 segments with a TCP MD5 signature that was not expected, " +
			"3 segments with a TTL too low for TTL security: check the password and TTL security at both ends"},
	} {
		if got := (drops{}).since(tt.now); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.now, got, tt.want)
		}
	}
	na, nb := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0)
	if hint := na.peer(na.config(nb), newEngine(t)).DropHint(); hint != "" {
		t.Errorf("hint of a session without password and TTL security: %q", hint)
	}
}

// dropped counts packets with too low a TTL, in the whole network namespace.
func dropped(t *testing.T) int {
	t.Helper()
	n, err := readNetstat("TCPMinTTLDrop")
	if err != nil {
		t.Fatal(err)
	}
	return n["TCPMinTTLDrop"]
}

func TestSocketOptions(t *testing.T) {
	_, _, ea, eb := pair(t, func(a, b *Config) {
		a.LocalAS, b.PeerAS = 65001, 65001 // external: one hop
	})
	eventually(t, "both up", func() bool { return ea.up() && eb.up() })
	for _, c := range []*Conn{ea.current(), eb.current()} {
		for _, o := range []struct{ level, name, want int }{
			{unix.IPPROTO_IP, unix.IP_TTL, 1},
			{unix.IPPROTO_IP, unix.IP_TOS, classCS6},
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 8 * 60 * 1000},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0},
		} {
			raw, err := c.sock.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			if err := onFD(raw, func(fd int) error { got, err = unix.GetsockoptInt(fd, o.level, o.name); return err }); err != nil || got != o.want {
				t.Errorf("option %d/%d is %d, want %d (%v)", o.level, o.name, got, o.want, err)
			}
		}
	}
}

func TestUnknownPeer(t *testing.T) {
	n := newNode(t, "127.0.0.1", 0)
	for range 3 {
		dialRouter(t, n, "127.0.0.9").gone()
	}
	eventually(t, "three to be counted", func() bool { return n.listener.Refused() == 3 })
}

// TestSourceIsNotOurs: the reason names the address that is missing.
func TestSourceIsNotOurs(t *testing.T) {
	n, other := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0)
	c := n.config(other)
	c.Local = netip.MustParseAddrPort("192.0.2.77:0")
	p := n.peer(c, newEngine(t))
	eventually(t, "a reason that names the address", func() bool {
		return strings.HasSuffix(p.Status().LastError, ": this host has no address 192.0.2.77")
	})
}

// TestDevice: a session dials out of the interface that it is bound to, and
// says so where there is none.
func TestDevice(t *testing.T) {
	na, nb := newNode(t, "127.0.0.1", 0), newNode(t, "127.0.0.2", 0)
	ea, eb := newEngine(t), newEngine(t)
	bound, passive := na.config(nb), nb.config(na)
	bound.Device, passive.Passive = "no-such-link", true
	nb.peer(passive, eb)
	a := na.peer(bound, ea)
	eventually(t, "a reason that names the interface", func() bool {
		return strings.Contains(a.Status().LastError, "no-such-link")
	})
	stopped(t, a, nil)
	bound.Device = "lo"
	na.peer(bound, ea)
	eventually(t, "both up", func() bool { return ea.up() && eb.up() })
}
