package wire

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

func message(tb testing.TB, f bgp.Family, n int) []byte {
	tb.Helper()
	a := sample(f)
	b, err := AppendAnnouncements(nil, Form{Max: MaxExtended}, f, a.Append(nil), hosts(f, n))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func benchmarkParse(b *testing.B, f bgp.Family, n int) {
	body := message(b, f, n)[HeaderLen:]
	var u Update
	var sum int
	b.ReportAllocs()
	for b.Loop() {
		if v := u.Parse(body, internal); v.Action != OK {
			b.Fatal(v)
		}
		for _, a := range u.Announced {
			for p := range a.NLRI.All() {
				sum += p.Bits()
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/prefix")
}

func BenchmarkParseIPv4x1000(b *testing.B) { benchmarkParse(b, bgp.IPv4Unicast, 1000) }
func BenchmarkParseIPv6x1000(b *testing.B) { benchmarkParse(b, bgp.IPv6Unicast, 1000) }
func BenchmarkParseIPv4x1(b *testing.B)    { benchmarkParse(b, bgp.IPv4Unicast, 1) }
func BenchmarkParseIPv6x1(b *testing.B)    { benchmarkParse(b, bgp.IPv6Unicast, 1) }

func BenchmarkPackIPv4x1000(b *testing.B) {
	a := sample(bgp.IPv4Unicast)
	raw := a.Append(nil)
	var prefixes []netip.Prefix
	for p := range hosts(bgp.IPv4Unicast, 1000) {
		prefixes = append(prefixes, p)
	}
	p := NewPacker(Form{})
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if out, err = p.Announce(out[:0], bgp.IPv4Unicast, raw); err != nil {
			b.Fatal(err)
		}
		for _, prefix := range prefixes {
			out = p.Add(out, prefix, 0)
		}
		out = p.Close(out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/prefix")
}

func BenchmarkParseAttributes(b *testing.B) {
	a := sample(bgp.IPv4Unicast)
	raw := a.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseAttributes(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReflect(b *testing.B) {
	a := sample(bgp.IPv4Unicast)
	raw := a.Append(nil)
	var out []byte
	id, cluster := addr("192.0.2.1"), addr("192.0.2.2")
	b.ReportAllocs()
	for b.Loop() {
		out = AppendReflected(out[:0], raw, id, cluster)
	}
}

// endless yields the same bytes again and again.
type endless struct{ r *bytes.Reader }

func (e endless) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if err != nil {
		e.r.Seek(0, 0)
		n, err = e.r.Read(b)
	}
	return n, err
}

func BenchmarkReader(b *testing.B) {
	stream := AppendKeepalive(message(b, bgp.IPv4Unicast, 3))
	r := NewReader(endless{bytes.NewReader(bytes.Repeat(stream, 1000))}, 16<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
