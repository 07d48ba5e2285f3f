package mrt

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
)

// The type and its subtypes (RFC 6396 §4.3, RFC 8050 §4).
const (
	typeTableDump2   = 13
	peerIndexTable   = 1
	ribIPv4          = 2
	ribIPv6          = 4
	ribIPv4AddPath   = 8
	ribIPv6AddPath   = 10
	maxPeers         = 1<<16 - 1
	maxEntries       = 1<<16 - 1
	maxAttributes    = 1<<16 - 1
	peerTypeIPv6     = 1 << 0
	peerTypeAS4      = 1 << 1
	lengthOfHeader   = 12
	positionOfLength = 8
)

// Options of a dump.
type Options struct {
	RouterID netip.Addr // of the speaker, an IPv4 address
	ASN      uint32     // its own, of routes that it originates
	View     string     // name of the table; may be empty
	Time     time.Time  // of the dump
}

// Dump writes the table of s.
func Dump(w io.Writer, s bgp.Speaker, o Options) error {
	d := &dump{w: w, options: o, index: make(map[peerKey]uint16)}
	if err := d.peers(s.Peers()); err != nil {
		return err
	}
	var entries []bgp.Entry
	for e := range s.Routes(bgp.Query{}) {
		if len(entries) > 0 && entries[0].Prefix != e.Prefix {
			if err := d.prefix(entries); err != nil {
				return err
			}
			entries = entries[:0]
		}
		entries = append(entries, e)
	}
	return d.prefix(entries)
}

// peerKey tells peers apart: several sessions may have the same address.
type peerKey struct {
	session string
	address netip.Addr
}

type dump struct {
	w        io.Writer
	options  Options
	index    map[peerKey]uint16
	since    []uint32 // of the peers, by index
	sequence uint32
	buf      []byte
}

// begin begins a record.
func (d *dump) begin(subtype uint16) {
	d.buf = binary.BigEndian.AppendUint32(d.buf[:0], uint32(d.options.Time.Unix()))
	d.buf = binary.BigEndian.AppendUint16(d.buf, typeTableDump2)
	d.buf = binary.BigEndian.AppendUint16(d.buf, subtype)
	d.buf = append(d.buf, 0, 0, 0, 0)
}

// end writes the record.
func (d *dump) end() error {
	binary.BigEndian.PutUint32(d.buf[positionOfLength:], uint32(len(d.buf)-lengthOfHeader))
	if _, err := d.w.Write(d.buf); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// peers writes the PEER_INDEX_TABLE (RFC 6396 §4.3.1). The first peer stands
// for ourselves, with the address zero.
func (d *dump) peers(list []bgp.PeerState) error {
	list = list[:min(len(list), maxPeers-1)]
	d.begin(peerIndexTable)
	d.buf = appendID(d.buf, d.options.RouterID)
	d.buf = binary.BigEndian.AppendUint16(d.buf, uint16(len(d.options.View)))
	d.buf = append(d.buf, d.options.View...)
	d.buf = binary.BigEndian.AppendUint16(d.buf, uint16(len(list)+1))
	d.peer(d.options.RouterID, netip.IPv4Unspecified(), d.options.ASN)
	d.since = append(d.since, uint32(d.options.Time.Unix()))
	for i, p := range list {
		d.index[peerKey{p.Session.Name, p.Session.Peer}] = uint16(i + 1)
		d.since = append(d.since, uint32(p.Since.Unix()))
		d.peer(p.RouterID, p.Session.Peer, p.Session.PeerAS)
	}
	return d.end()
}

// peer appends an entry of the table; AS numbers always have four octets.
func (d *dump) peer(id, address netip.Addr, asn uint32) {
	kind := byte(peerTypeAS4)
	if address = address.Unmap(); address.Is6() {
		kind |= peerTypeIPv6
	}
	d.buf = appendID(append(d.buf, kind), id)
	d.buf = append(d.buf, address.WithZone("").AsSlice()...)
	d.buf = binary.BigEndian.AppendUint32(d.buf, asn)
}

// appendID appends a BGP identifier; zero for a peer that was never up.
func appendID(b []byte, id netip.Addr) []byte {
	if !id.Is4() {
		return append(b, 0, 0, 0, 0)
	}
	return append(b, id.AsSlice()...)
}

// prefix writes the records of one prefix (RFC 6396 §4.3.2): one, unless it has
// very many paths.
func (d *dump) prefix(entries []bgp.Entry) error {
	for len(entries) > 0 {
		part := entries[:min(len(entries), maxEntries)]
		entries = entries[len(part):]
		if err := d.record(part); err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) record(entries []bgp.Entry) error {
	prefix := entries[0].Prefix
	ids := false
	for _, e := range entries {
		ids = ids || e.PathID != 0
	}
	d.begin(subtypeOf(prefix, ids))
	d.buf = binary.BigEndian.AppendUint32(d.buf, d.sequence)
	d.buf = append(d.buf, byte(prefix.Bits()))
	d.buf = append(d.buf, prefix.Addr().AsSlice()[:(prefix.Bits()+7)/8]...)
	count := len(d.buf)
	d.buf = append(d.buf, 0, 0)
	n := 0
	for _, e := range entries {
		if d.entry(e, ids) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	d.sequence++
	binary.BigEndian.PutUint16(d.buf[count:], uint16(n))
	return d.end()
}

func subtypeOf(p netip.Prefix, ids bool) uint16 {
	switch {
	case p.Addr().Is4() && ids:
		return ribIPv4AddPath
	case p.Addr().Is4():
		return ribIPv4
	case ids:
		return ribIPv6AddPath
	}
	return ribIPv6
}

// entry appends a path (RFC 6396 §4.3.4). One of a session that is not in the
// index, because it is newer, is left out.
func (d *dump) entry(e bgp.Entry, ids bool) bool {
	index, known := uint16(0), true
	if !e.Own {
		index, known = d.index[peerKey{e.Session, e.Peer}]
	}
	if !known {
		return false
	}
	start := len(d.buf)
	d.buf = binary.BigEndian.AppendUint16(d.buf, index)
	d.buf = binary.BigEndian.AppendUint32(d.buf, d.since[index])
	if ids {
		d.buf = binary.BigEndian.AppendUint32(d.buf, e.PathID)
	}
	length := len(d.buf)
	d.buf = appendAttributes(append(d.buf, 0, 0), e)
	n := len(d.buf) - length - 2
	if n > maxAttributes {
		d.buf = d.buf[:start]
		return false
	}
	binary.BigEndian.PutUint16(d.buf[length:], uint16(n))
	return true
}
