// Package bmptest is a monitoring station for tests: a parser of BMP (RFC 7854)
// that shares nothing with the one who writes it, and a station that folds what
// it hears into the tables of the peers and refuses what is out of turn.
package bmptest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Message types (RFC 7854 §4.1).
const (
	RouteMonitoring = 0
	Statistics      = 1
	PeerDown        = 2
	PeerUp          = 3
	Initiation      = 4
	Termination     = 5
)

// Message is any message; which fields it has is a matter of Type.
type Message struct {
	Type uint8
	Peer Peer
	At   time.Time // of the per-peer header

	Info map[uint16]string // TLVs of Initiation, Termination, Peer Up

	Local                 netip.Addr // of Peer Up
	LocalPort, RemotePort uint16
	SentOpen, Received    []byte

	Reason       uint8  // of Peer Down
	Notification []byte // likewise
	Event        uint16 // likewise

	Update []byte            // of Route Monitoring
	Values map[string]uint64 // of Statistics, by type or type/afi/safi
}

// Peer is a per-peer header without its time (RFC 7854 §4.2).
type Peer struct {
	Address  netip.Addr
	AS       uint32
	ID       netip.Addr
	Post     bool
	ShortAS  bool
	Reserved bool // anything is set that should not be
}

// Read reads one message.
func Read(r io.Reader) (*Message, error) {
	head := make([]byte, 6)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if head[0] != 3 || length < 6 || length > 1<<17 {
		return nil, fmt.Errorf("common header % x", head)
	}
	body := make([]byte, length-6)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("body of %d octets: %w", len(body), err)
	}
	m := &Message{Type: head[5]}
	p := &parser{b: body}
	p.message(m)
	if p.err == nil && len(p.b) > 0 {
		p.err = fmt.Errorf("%d octets are left", len(p.b))
	}
	if p.err != nil {
		return nil, fmt.Errorf("message of type %d: %w", m.Type, p.err)
	}
	return m, nil
}

// parser takes a body apart.
type parser struct {
	b   []byte
	err error
}

func (p *parser) take(n int) []byte {
	if p.err == nil && n > len(p.b) {
		p.err = fmt.Errorf("%d octets are missing", n-len(p.b))
	}
	if p.err != nil {
		return make([]byte, n)
	}
	out := p.b[:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) u8() uint8   { return p.take(1)[0] }
func (p *parser) u16() uint16 { return binary.BigEndian.Uint16(p.take(2)) }
func (p *parser) u32() uint32 { return binary.BigEndian.Uint32(p.take(4)) }

// address takes 16 octets.
func (p *parser) address(six bool) netip.Addr {
	b := [16]byte(p.take(16))
	if six {
		return netip.AddrFrom16(b)
	}
	if [12]byte(b[:12]) != [12]byte{} {
		p.err = fmt.Errorf("IPv4 address % x", b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}

// bgp takes a whole message of BGP.
func (p *parser) bgp() []byte {
	if len(p.b) < 19 {
		p.take(19)
		return nil
	}
	for _, octet := range p.b[:16] {
		if octet != 0xff {
			p.err = fmt.Errorf("marker % x", p.b[:16])
		}
	}
	return p.take(int(binary.BigEndian.Uint16(p.b[16:])))
}

func (p *parser) info() map[uint16]string {
	all := make(map[uint16]string)
	for len(p.b) > 0 && p.err == nil {
		kind := p.u16()
		all[kind] = string(p.take(int(p.u16())))
	}
	return all
}

func (p *parser) message(m *Message) {
	if m.Type == Initiation || m.Type == Termination {
		m.Info = p.info()
		return
	}
	six := p.peer(m)
	switch m.Type {
	case RouteMonitoring:
		m.Update = p.bgp()
	case Statistics:
		m.Values = p.values()
	case PeerDown:
		switch m.Reason = p.u8(); m.Reason {
		case 1, 3:
			m.Notification = p.bgp()
		case 2:
			m.Event = p.u16()
		case 4, 5:
		default:
			p.err = fmt.Errorf("reason %d", m.Reason)
		}
	case PeerUp:
		m.Local = p.address(six)
		m.LocalPort, m.RemotePort = p.u16(), p.u16()
		m.SentOpen, m.Received = p.bgp(), p.bgp()
		m.Info = p.info()
	default:
		p.err = fmt.Errorf("unknown")
	}
}

// peer takes the per-peer header; true: the peer's address is IPv6.
func (p *parser) peer(m *Message) bool {
	kind, flags := p.u8(), p.u8()
	distinguisher := [8]byte(p.take(8))
	six := flags&0x80 != 0
	m.Peer = Peer{
		Post: flags&0x40 != 0, ShortAS: flags&0x20 != 0,
		Reserved: kind != 0 || flags&0x1f != 0 || distinguisher != [8]byte{},
	}
	m.Peer.Address = p.address(six)
	m.Peer.AS = p.u32()
	m.Peer.ID = netip.AddrFrom4([4]byte(p.take(4)))
	seconds := p.u32()
	m.At = time.Unix(int64(seconds), int64(p.u32())*1000)
	return six
}

func (p *parser) values() map[string]uint64 {
	values := make(map[string]uint64)
	for range p.u32() {
		kind, n := p.u16(), int(p.u16())
		name := fmt.Sprint(kind)
		if n == 11 {
			afi, safi := p.u16(), p.u8()
			name, n = fmt.Sprintf("%d/%d/%d", kind, afi, safi), 8
		}
		switch n {
		case 4:
			values[name] = uint64(p.u32())
		case 8:
			values[name] = binary.BigEndian.Uint64(p.take(8))
		default:
			p.err = fmt.Errorf("statistic of %d octets", n)
			return values
		}
	}
	return values
}
