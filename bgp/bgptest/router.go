package bgptest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/projectvrouter/vrouter/bgp"
)

// Types of message (RFC 4271 §4.1).
const (
	msgOpen         = 1
	msgUpdate       = 2
	msgNotification = 3
	msgKeepalive    = 4
)

// router is a peer that says exactly what a test wants, over IPv4.
type router struct {
	lab  *lab
	conn net.Conn

	mu   sync.Mutex // guards the rest
	got  []message  // all that came, keepalives apart
	gone bool       // the connection has ended
}

type message struct {
	kind byte
	body []byte
}

// dial is what a router says of itself.
type dial struct {
	n       int // whose address it has
	asn     uint32
	restart bool // offer graceful restart
	flags   byte // R bit, 0x80
}

// dial connects a router to h and brings the session up. It tries again while h
// does not want it, as a router does.
func (l *lab) dial(h *host, d dial) *router {
	l.Helper()
	var r *router
	l.wait("session with the router", func() bool {
		r = l.tryDial(h, d)
		return r != nil
	})
	l.Cleanup(func() { r.conn.Close() })
	return r
}

func (l *lab) tryDial(h *host, d dial) *router {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.addr(d.n, bgp.IPv4Unicast), 0))}
	conn, err := dialer.DialContext(l.Context(), "tcp", netip.AddrPortFrom(l.addr(h.n, bgp.IPv4Unicast), bgp.DefaultPort).String())
	if err != nil {
		return nil
	}
	r := &router{lab: l, conn: conn}
	r.send(msgOpen, l.open(d))
	for _, want := range []byte{msgOpen, msgKeepalive} {
		m, err := r.read()
		if err != nil || m.kind != want {
			conn.Close()
			return nil
		}
		if want == msgOpen {
			r.got = append(r.got, m)
			r.send(msgKeepalive, nil)
		}
	}
	go r.listen()
	return r
}

// open is the body of an OPEN (RFC 4271 §4.2, RFC 5492).
func (l *lab) open(d dial) []byte {
	caps := []byte{1, 4, 0, 1, 0, 1} // IPv4 unicast (RFC 4760 §8)
	caps = append(caps, 65, 4)       // four-octet AS (RFC 6793 §3)
	caps = binary.BigEndian.AppendUint32(caps, d.asn)
	if d.restart {
		caps = append(caps, 64, 6, d.flags, 120, 0, 1, 1, 0x80) // 120 s, IPv4 unicast with F (RFC 4724 §3)
	}
	body := []byte{4, byte(d.asn >> 8), byte(d.asn), 0, 90}
	body = append(body, l.addr(d.n, bgp.IPv4Unicast).AsSlice()...)
	return append(append(body, byte(len(caps)+2), 2, byte(len(caps))), caps...)
}

func (r *router) send(kind byte, body []byte) {
	m := slices.Repeat([]byte{0xff}, 16)
	m = binary.BigEndian.AppendUint16(m, uint16(19+len(body)))
	m = append(append(m, kind), body...)
	if _, err := r.conn.Write(m); err != nil && !errors.Is(err, net.ErrClosed) {
		r.lab.Logf("router: %v", err)
	}
}

func (r *router) read() (message, error) {
	header := make([]byte, 19)
	if _, err := io.ReadFull(r.conn, header); err != nil {
		return message{}, err
	}
	body := make([]byte, binary.BigEndian.Uint16(header[16:])-19)
	_, err := io.ReadFull(r.conn, body)
	return message{header[18], body}, err
}

// listen notes what comes until the connection ends.
func (r *router) listen() {
	for {
		m, err := r.read()
		r.mu.Lock()
		if err != nil {
			r.gone = true
			r.mu.Unlock()
			return
		}
		if m.kind != msgKeepalive {
			r.got = append(r.got, m)
		}
		r.mu.Unlock()
	}
}

// messages is what came so far of one kind, and whether the connection ended.
func (r *router) messages(kind byte) (list [][]byte, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		if m.kind == kind {
			list = append(list, m.body)
		}
	}
	return list, r.gone
}

// attributes of an UPDATE of a router.
type attributes struct {
	asPath     []uint32
	nextHop    netip.Addr
	localPref  uint32 // zero: none
	originator netip.Addr
}

// announce sends an UPDATE with one prefix of 32 bits.
func (r *router) announce(host string, a attributes) {
	attrs := []byte{0x40, 1, 1, 0} // ORIGIN: IGP
	path := []byte{}
	if len(a.asPath) > 0 {
		path = append(path, 2, byte(len(a.asPath))) // AS_SEQUENCE
		for _, as := range a.asPath {
			path = binary.BigEndian.AppendUint32(path, as)
		}
	}
	attrs = append(append(attrs, 0x40, 2, byte(len(path))), path...)
	attrs = append(append(attrs, 0x40, 3, 4), a.nextHop.AsSlice()...)
	if a.localPref != 0 {
		attrs = binary.BigEndian.AppendUint32(append(attrs, 0x40, 5, 4), a.localPref)
	}
	if a.originator.IsValid() {
		attrs = append(append(attrs, 0x80, 9, 4), a.originator.AsSlice()...)
	}
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attrs)))
	body = append(append(body, attrs...), 32)
	r.send(msgUpdate, append(body, netip.MustParseAddr(host).AsSlice()...))
}

// endOfRIB sends the End-of-RIB of IPv4 unicast (RFC 4724 §2).
func (r *router) endOfRIB() { r.send(msgUpdate, []byte{0, 0, 0, 0}) }

// cut ends the connection without a word.
func (r *router) cut() { r.conn.Close() }

// isEndOfRIB reports whether an UPDATE is the End-of-RIB of IPv4 unicast.
func isEndOfRIB(update []byte) bool { return slices.Equal(update, []byte{0, 0, 0, 0}) }

// restartFlags is flags, and flags of IPv4 unicast, in the graceful restart
// capability of an OPEN; false: it has none.
func restartFlags(open []byte) (flags, family byte, ok bool) {
	for params := open[10:]; len(params) >= 2; params = params[2+int(params[1]):] {
		for caps := params[2 : 2+int(params[1])]; len(caps) >= 2; caps = caps[2+int(caps[1]):] {
			if value := caps[2 : 2+int(caps[1])]; caps[0] == 64 && len(value) >= 6 {
				return value[0] & 0xf0, value[5], true
			}
		}
	}
	return 0, 0, false
}
