package bmp

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// version is that of RFC 7854 §4.1.
const version = 3

// messageType is a type of message (RFC 7854 §4.1).
type messageType uint8

const (
	routeMonitoring messageType = iota
	statisticsReport
	peerDown
	peerUp
	initiation
	termination
)

// Sizes of headers in octets.
const (
	commonHeader  = 6
	perPeerHeader = 42
)

// Flags of the per-peer header (RFC 7854 §4.2).
const (
	flagIPv6      = 0x80 // V
	flagPost      = 0x40 // L
	flagTwoByteAS = 0x20 // A
)

// TLVs of Initiation and Termination (RFC 7854 §4.4, §4.5).
const (
	informationText   = 0
	informationDescr  = 1
	informationName   = 2
	terminationReason = 1

	reasonClosed = 0 // administratively
)

// begin appends a common header whose length end sets.
func begin(b []byte, t messageType) ([]byte, int) {
	start := len(b)
	return append(b, version, 0, 0, 0, 0, byte(t)), start
}

func end(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start+1:], uint32(len(b)-start))
	return b
}

// appendPeer appends the per-peer header (RFC 7854 §4.2). The address is that
// of the session, which tells peers apart.
func appendPeer(b []byte, c *bgp.Connection, flags byte, at time.Time) []byte {
	if c.Remote.Addr().Is6() {
		flags |= flagIPv6
	}
	b = append(b, 0, flags, 0, 0, 0, 0, 0, 0, 0, 0) // a Global Instance Peer has no distinguisher
	b = appendAddress(b, c.Remote.Addr())
	b = binary.BigEndian.AppendUint32(b, c.PeerAS)
	b = append(b, c.RouterID.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(at.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(at.Nanosecond()/1000))
}

// appendAddress appends 16 octets; an IPv4 address is in the last four.
func appendAddress(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return append(b, a.WithZone("").AsSlice()...)
}

func appendTLV(b []byte, kind uint16, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

// appendInitiation appends an Initiation (RFC 7854 §4.3).
func appendInitiation(b []byte, name, description string) []byte {
	b, start := begin(b, initiation)
	b = appendTLV(b, informationDescr, []byte(description))
	return end(appendTLV(b, informationName, []byte(name)), start)
}

// appendTermination appends a Termination (RFC 7854 §4.5).
func appendTermination(b []byte, text string) []byte {
	b, start := begin(b, termination)
	b = appendTLV(b, informationText, []byte(text))
	return end(appendTLV(b, terminationReason, []byte{0, reasonClosed}), start)
}

// appendPeerUp appends a Peer Up (RFC 7854 §4.10), without information about
// the peer: dissectors take that for another OPEN.
func appendPeerUp(b []byte, c *bgp.Connection) []byte {
	b, start := begin(b, peerUp)
	b = appendPeer(b, c, 0, c.Up)
	b = appendAddress(b, c.Local.Addr())
	b = binary.BigEndian.AppendUint16(b, c.Local.Port())
	b = binary.BigEndian.AppendUint16(b, c.Remote.Port())
	b = append(b, c.SentOpen...)
	return end(append(b, c.ReceivedOpen...), start)
}

// appendPeerDown appends a Peer Down (RFC 7854 §4.9).
func appendPeerDown(b []byte, c *bgp.Connection, why bgp.PeerDown, at time.Time) []byte {
	b, start := begin(b, peerDown)
	b = append(appendPeer(b, c, 0, at), byte(why.Reason))
	switch why.Reason {
	case bgp.DownLocalNotification, bgp.DownRemoteNotification:
		b = append(b, why.Notification...)
	case bgp.DownLocal:
		b = binary.BigEndian.AppendUint16(b, why.Event)
	}
	return end(b, start)
}

// appendRoute appends a Route Monitoring (RFC 7854 §4.6).
func appendRoute(b []byte, c *bgp.Connection, u bgp.MonitoredUpdate, at time.Time) []byte {
	b, start := begin(b, routeMonitoring)
	flags := byte(0)
	if u.Post {
		flags |= flagPost
	}
	if u.TwoByteAS {
		flags |= flagTwoByteAS
	}
	return end(append(appendPeer(b, c, flags, at), u.Message...), start)
}
