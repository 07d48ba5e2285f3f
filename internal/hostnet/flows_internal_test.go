package hostnet

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzParseFlow: nothing that a kernel could say makes the reader fall over,
// and what names a flow to the kernel is as it was said.
func FuzzParseFlow(f *testing.F) {
	attr := func(typ uint16, value ...byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(len(value)+unix.SizeofNlAttr))
		b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
		for len(b)%unix.NLA_ALIGNTO != 0 {
			b = append(b, 0)
		}
		return b
	}
	tuple := func(a, b byte) []byte {
		ip := append(attr(1, 10, 0, 0, a), attr(2, 10, 0, 0, b)...)
		proto := append(attr(1, 6), append(attr(2, 0, 80), attr(3, 4, 0)...)...)
		return append(attr(1|unix.NLA_F_NESTED, ip...), attr(2|unix.NLA_F_NESTED, proto...)...)
	}
	whole := append([]byte{unix.AF_INET, 0, 0, 0}, attr(1|unix.NLA_F_NESTED, tuple(1, 2)...)...)
	whole = append(whole, attr(2|unix.NLA_F_NESTED, tuple(2, 1)...)...)
	f.Add(append(whole, attr(ctaID, 1, 2, 3, 4)...))
	f.Add(whole[:30])
	f.Add([]byte{2, 0, 0, 0, 3, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		flow, err := parseFlow(data)
		if err != nil && flow != nil {
			t.Error("a flow and an error")
		}
		if flow != nil && (!flow.Source.IsValid() || !flow.Destination.IsValid() || len(flow.key) > len(data)) {
			t.Errorf("%+v", flow)
		}
	})
}
