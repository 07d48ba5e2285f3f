package bgp

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestRely has a RIB in words, "PREFIX PEER [stale|refused|unreachable|own]",
// and sessions by the last number of their peer: those that retire with what is
// known of them, and those that stay.
func TestRely(t *testing.T) {
	peerOf := func(n string) netip.Addr { return netip.MustParseAddr("192.0.2." + n) }
	host := func(n string) Session { return Session{Name: n, Peer: peerOf(n), LocalAS: 64512, PeerAS: 64512} }
	client := func(n string) Session {
		s := host(n)
		s.ClusterID, s.ReflectorClient = netip.MustParseAddr("10.0.0.1"), true
		return s
	}
	for _, c := range []struct {
		name     string
		retiring []Retiring
		wanted   []Session
		rib      string
		prefixes []int
		through  []int
	}{
		{"it gave nothing", []Retiring{{Session: host("1"), Up: true}}, nil, "10.0.0.2/32 192.0.2.2", []int{0}, []int{0}},
		{"nobody else gives it", []Retiring{{Session: host("1"), Up: true}}, []Session{host("2")},
			"10.0.0.1/32 192.0.2.1, 10.0.0.2/32 192.0.2.2", []int{1}, []int{0}},
		{"another gives some", []Retiring{{Session: host("1"), Up: true}}, []Session{host("9")},
			"10.0.0.1/32 192.0.2.1, 10.0.0.1/32 192.0.2.9, 10.0.0.2/32 192.0.2.1", []int{1}, []int{0}},
		{"another gives all", []Retiring{{Session: host("1"), Up: true}}, []Session{host("9")},
			"10.0.0.1/32 192.0.2.1, 10.0.0.1/32 192.0.2.9", []int{0}, []int{0}},
		{"a stale path proves nothing", []Retiring{{Session: host("1"), Up: true}}, []Session{host("9")},
			"10.0.0.1/32 192.0.2.1, 10.0.0.1/32 192.0.2.9 stale", []int{1}, []int{0}},
		{"nor does one that is refused", []Retiring{{Session: host("1"), Up: true}}, []Session{host("9")},
			"10.0.0.1/32 192.0.2.1, 10.0.0.1/32 192.0.2.9 refused", []int{1}, []int{0}},
		{"nor one that leads nowhere", []Retiring{{Session: host("1"), Up: true}}, []Session{host("9")},
			"10.0.0.1/32 192.0.2.1, 10.0.0.1/32 192.0.2.9 unreachable", []int{1}, []int{0}},
		{"what it gave and we refuse is not missed", []Retiring{{Session: host("1"), Up: true}}, nil,
			"10.0.0.1/32 192.0.2.1 refused", []int{0}, []int{0}},
		{"what it gave before it restarted is", []Retiring{{Session: host("1")}}, nil,
			"10.0.0.1/32 192.0.2.1 stale", []int{1}, []int{0}},
		{"what we have ourselves is not", []Retiring{{Session: host("1"), Up: true}}, nil,
			"10.0.0.1/32 192.0.2.1, 10.0.0.1/32 own", []int{0}, []int{0}},
		{"two that retire do not stand in for each other", []Retiring{{Session: host("1"), Up: true}, {Session: host("2"), Up: true, Released: true}}, nil,
			"10.0.0.1/32 192.0.2.1, 10.0.0.1/32 192.0.2.2", []int{1, 1}, []int{0, 0}},
		{"a reflector is needed by clients that did not say otherwise", []Retiring{
			{Session: client("1"), Up: true, Released: true}, {Session: client("2"), Up: true}, {Session: client("3")},
		}, nil, "10.0.0.1/32 192.0.2.1, 10.0.0.2/32 192.0.2.2", []int{1, 1, 0}, []int{1, 0, 0}},
		{"and by none when all have", []Retiring{
			{Session: client("1"), Up: true, Released: true}, {Session: client("2"), Up: true, Released: true},
		}, nil, "10.0.0.1/32 192.0.2.1, 10.0.0.2/32 192.0.2.2", []int{1, 1}, []int{0, 0}},
		{"by clients that stay in any case", []Retiring{{Session: client("1"), Up: true, Released: true}}, []Session{client("2"), client("3")},
			"10.0.0.1/32 192.0.2.1", []int{1}, []int{2}},
		{"but not for what others give", []Retiring{{Session: client("1"), Up: true}}, []Session{client("2"), client("3")},
			"10.0.0.1/32 192.0.2.1, 10.0.0.1/32 192.0.2.3", []int{0}, []int{0}},
	} {
		var rib []Entry
		for line := range strings.SplitSeq(c.rib, ", ") {
			words := strings.Fields(line)
			e := Entry{Path: Path{Prefix: netip.MustParsePrefix(words[0])}}
			if e.Own = words[1] == "own"; !e.Own {
				e.Peer = netip.MustParseAddr(words[1])
			}
			for _, w := range words[2:] {
				e.Stale, e.Unreachable = w == "stale", w == "unreachable"
				if w == "refused" {
					e.Refused = NotInPool
				}
			}
			rib = append(rib, e)
		}
		slices.SortStableFunc(rib, func(a, b Entry) int { return cmp.Compare(a.Prefix.String(), b.Prefix.String()) })
		for i, got := range Rely(c.retiring, c.wanted, slices.Values(rib)) {
			if want := (Reliance{c.prefixes[i], c.through[i]}); got != want {
				t.Errorf("%s: session %d: %+v, want %+v", c.name, i, got, want)
			}
		}
	}
	if (Reliance{Prefixes: 1}).None(true) || !(Reliance{Prefixes: 1}).None(false) || (Reliance{1, 1}).None(false) || !(Reliance{}).None(true) {
		t.Error("who forwards misses prefixes, who reflects misses those that it passes on")
	}
}
