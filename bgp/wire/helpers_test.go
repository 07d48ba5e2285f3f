package wire

import (
	"encoding/hex"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix

	both     = bgp.FamiliesOf(bgp.IPv4Unicast, bgp.IPv6Unicast)
	internal = Options{FourByteAS: true, Families: both}
	external = Options{FourByteAS: true, Families: both, External: true}
)

// unhex reads octets; spaces are for the eye.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// attr is an attribute with a short length.
func attr(flags, code byte, value ...byte) []byte {
	if len(value) > 255 {
		return append([]byte{flags | flagExtended, code, byte(len(value) >> 8), byte(len(value))}, value...)
	}
	return append([]byte{flags, code, byte(len(value))}, value...)
}

// update is the body of an UPDATE.
func update(withdrawn []byte, attrs [][]byte, nlri ...byte) []byte {
	var all []byte
	for _, a := range attrs {
		all = append(all, a...)
	}
	b := append([]byte{byte(len(withdrawn) >> 8), byte(len(withdrawn))}, withdrawn...)
	b = append(b, byte(len(all)>>8), byte(len(all)))
	return append(append(b, all...), nlri...)
}

// show is what an Update says, as text.
func show(u *Update) string {
	var lines []string
	run := func(what string, n NLRI) {
		for p, id := range n.All() {
			line := what + " " + p.String()
			if n.ids {
				line += fmt.Sprintf(" id %d", id)
			}
			lines = append(lines, line)
		}
	}
	for _, n := range u.Withdrawn {
		run("-", n)
	}
	for _, a := range u.Announced {
		run("+", a.NLRI)
		lines = append(lines, "  "+hex.EncodeToString(a.Attributes))
	}
	if u.EndOfRIB != 0 {
		lines = append(lines, "end of "+u.EndOfRIB.String())
	}
	return strings.Join(lines, "\n")
}

// hosts is n prefixes of single hosts.
func hosts(f bgp.Family, n int) iter.Seq2[netip.Prefix, uint32] {
	return func(yield func(netip.Prefix, uint32) bool) {
		for i := range n {
			a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			if f == bgp.IPv6Unicast {
				a = netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})
			}
			if !yield(netip.PrefixFrom(a, a.BitLen()), uint32(i)) {
				return
			}
		}
	}
}

func sample(f bgp.Family) Attributes {
	a := Attributes{
		ASPath: ASPath{{ASSequence, []uint32{65001, 4200000000}}}, NextHop: NextHop{Addr: addr("192.0.2.1")},
		LocalPref: 100, HasLocalPref: true, Communities: []bgp.Community{0xfde90001},
	}
	if f == bgp.IPv6Unicast {
		a.NextHop = NextHop{Addr: addr("2001:db8::1"), LinkLocal: addr("fe80::1")}
	}
	return a
}
