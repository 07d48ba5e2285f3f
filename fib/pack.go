package fib

import (
	"encoding/binary"
	"net/netip"
)

// The packed forms make slices of next hops comparable: each hop is flags,
// weight, length and bytes of the gateway, then the interface.

const packedOnlink = 1

func packHops(hops []Hop) string {
	if len(hops) == 0 {
		return ""
	}
	var space [96]byte
	b := space[:0]
	if len(hops) > 1 {
		hops = append([]Hop(nil), hops...)
		sortHops(hops)
	}
	for _, h := range hops {
		b = packGateway(b, h.Gateway, h.Onlink, h.Weight)
		b = binary.BigEndian.AppendUint32(b, uint32(h.Index))
	}
	return string(b)
}

func unpackHops(s string) []Hop {
	var hops []Hop
	for s != "" {
		var h Hop
		h.Gateway, h.Onlink, h.Weight, s = unpackGateway(s)
		h.Index = int32(uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3]))
		s = s[4:]
		hops = append(hops, h)
	}
	return hops
}

func packNextHops(hops []NextHop) string {
	if len(hops) == 0 {
		return ""
	}
	var space [96]byte
	b := space[:0]
	for _, h := range hops {
		b = packGateway(b, h.Gateway, h.Onlink, h.Weight)
		b = append(b, byte(len(h.Interface))) // the kernel takes 15 at most
		b = append(b, h.Interface[:int(byte(len(h.Interface)))]...)
	}
	return string(b)
}

func unpackNextHops(s string) []NextHop {
	var hops []NextHop
	for s != "" {
		var h NextHop
		h.Gateway, h.Onlink, h.Weight, s = unpackGateway(s)
		n := int(s[0])
		h.Interface, s = s[1:1+n], s[1+n:]
		hops = append(hops, h)
	}
	return hops
}

func packGateway(b []byte, gateway netip.Addr, onlink bool, weight uint8) []byte {
	var flags byte
	if onlink {
		flags = packedOnlink
	}
	address := gateway.AsSlice()
	b = append(b, flags, weight, byte(len(address)))
	return append(b, address...)
}

func unpackGateway(s string) (gateway netip.Addr, onlink bool, weight uint8, rest string) {
	onlink, weight = s[0]&packedOnlink != 0, s[1]
	n := int(s[2])
	gateway, _ = netip.AddrFromSlice([]byte(s[3 : 3+n]))
	return gateway, onlink, weight, s[3+n:]
}
