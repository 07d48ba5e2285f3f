package policytest

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/projectvrouter/vrouter/policy"
)

// A disguise is another form of an IP packet that means the same: policy must
// not be blind to its ports.
type disguise struct {
	name  string
	isIP6 bool
	of    func(packet []byte) [][]byte
}

func disguises() []disguise {
	return []disguise{
		{"IPv4 options", false, func(b []byte) [][]byte { return [][]byte{withOptions(b)} }},
		{"IPv4 fragments", false, fragments},
		{"hop-by-hop options", true, func(b []byte) [][]byte { return [][]byte{extended(b, 0, padding())} }},
		{"destination options", true, func(b []byte) [][]byte { return [][]byte{extended(b, 60, padding())} }},
		{"an atomic fragment", true, func(b []byte) [][]byte { return [][]byte{extended(b, 44, fragmentHeader(0, false))} }},
		{"IPv6 fragments", true, fragments6},
	}
}

// disguised sends packets in every form to a port that is open and to one that
// is not.
func (s *suite) disguised(t *testing.T) {
	const oneport = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: port80}
spec:
  selector: role == 'server'
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
`
	list, err := objects([]byte(oneport))
	if err != nil {
		t.Fatal(err)
	}
	s.store(t, list)
	for _, d := range disguises() {
		for _, port := range []uint16{80, 81} {
			p := Probe{}
			p.From, p.To, p.Protocol, p.Port, p.IPVersion = "default/w1", "default/w2", policy.ProtocolTCP, port, 4
			if d.isIP6 {
				p.IPVersion = 6
			}
			way, err := flights(list, p)
			if err != nil {
				t.Fatal(err)
			}
			j := *way[0].journey()
			if err := s.host.ForgetConnections(); err != nil {
				t.Fatal(err)
			}
			s.number++
			seen, err := s.exchange([]outgoing{{in: j.In, packet: j.Packet, number: s.number, form: d.of}}, s.number)
			if err != nil {
				t.Fatal(err)
			}
			if _, came := seen[0]; came != (port == 80) {
				t.Errorf("%s, port %d: came out: %t", d.name, port, came)
			}
		}
	}
}

// withOptions adds four times NOP (RFC 791 §3.1) to the header.
func withOptions(b []byte) []byte {
	out := bytes.Clone(b[:20])
	out[0]++
	out = append(append(out, 1, 1, 1, 1), b[20:]...)
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
	return summed(out)
}

// summed writes the checksum of an IPv4 header.
func summed(b []byte) []byte {
	header := b[:int(b[0]&15)*4]
	header[10], header[11] = 0, 0
	binary.BigEndian.PutUint16(header[10:], internetChecksum(header))
	return b
}

// firstFragment is how much of what follows the IP header is in the first: the
// header of TCP and what we know a packet by. It is a multiple of eight.
const firstFragment = 32

// fragments cuts a packet in two (RFC 791 §3.2).
func fragments(b []byte) [][]byte {
	first, second := bytes.Clone(b[:20+firstFragment]), append(bytes.Clone(b[:20]), b[20+firstFragment:]...)
	binary.BigEndian.PutUint16(first[6:], 0x2000) // more fragments
	binary.BigEndian.PutUint16(second[6:], firstFragment/8)
	for _, f := range [][]byte{first, second} {
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		summed(f)
	}
	return [][]byte{first, second}
}

// fragments6 cuts a packet in two (RFC 8200 §4.5).
func fragments6(b []byte) [][]byte {
	first, second := b[:40+firstFragment], append(bytes.Clone(b[:40]), b[40+firstFragment:]...)
	return [][]byte{
		extended(first, 44, fragmentHeader(0, true)),
		extended(second, 44, fragmentHeader(firstFragment, false)),
	}
}

// fragmentHeader is that of RFC 8200 §4.5, its next header not filled in.
func fragmentHeader(offset uint16, more bool) []byte {
	if more {
		offset |= 1
	}
	return append(binary.BigEndian.AppendUint16([]byte{0, 0}, offset), 0, 0, 0, 7)
}

// padding is an extension header of options that say nothing (RFC 8200 §4.2).
func padding() []byte { return []byte{0, 0, 1, 4, 0, 0, 0, 0} }

// extended puts an extension header of a type behind the IPv6 header.
func extended(b []byte, typ byte, extension []byte) []byte {
	out := bytes.Clone(b[:40])
	extension[0], out[6] = out[6], typ
	out = append(append(out, extension...), b[40:]...)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}
