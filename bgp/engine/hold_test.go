package engine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/session"
	"github.com/projectvrouter/vrouter/bgp/wire"
)

func limited(m bgp.MaxPrefix) func(*bgp.Session) {
	return func(s *bgp.Session) { s.Policy = &bgp.Policy{Options: bgp.Options{MaxPrefix: m}} }
}

// TestMaxPrefix: a peer over its limit is told so and leaves nothing behind;
// its session comes back after a while, or when the limit is another, and one
// that shall only warn stays (RFC 4486 §4).
func TestMaxPrefix(t *testing.T) {
	t.Parallel()
	g := newGround(t, 11)
	limits := bgp.MaxPrefix{Limit: 3}
	warn := g.to(3, limited(bgp.MaxPrefix{Limit: 1, WarnOnly: true}))
	g.sessions(g.to(2, limited(limits)), warn)
	r, other := g.dial(2, modelAS), g.dial(3, modelAS)
	other.announce(wire.Attributes{}, "10.3.0.1/32", "10.3.0.2/32")
	r.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32", "10.2.0.3/32")
	r.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32", "10.2.0.3/32") // the same again is no more
	r.withdraw("10.2.0.3/32")
	r.announce(wire.Attributes{}, "11.0.0.0/8") // refused ones count
	wait(t, "three prefixes", func() bool { return g.peer(2).Received == 3 && len(g.paths("11.0.0.0/8")) == 1 })
	r.announce(wire.Attributes{}, "10.2.0.4/32", "10.2.0.5/32")
	wait(t, "the end", func() bool { _, gone := r.ended(); return gone })
	n, _ := r.ended()
	if n == nil {
		t.Fatal("the peer was told nothing")
	}
	inner, _ := n.Encapsulated()
	want := binary.BigEndian.AppendUint32([]byte{0, 1, 1}, 3)
	if inner == nil || inner.Code != wire.Cease || inner.Subcode != wire.MaxPrefixes || string(inner.Data) != string(want) {
		t.Errorf("the peer was told %v, data %x", n, n.Data)
	}
	p := g.peer(2)
	if p.State != bgp.Idle || p.Received != 0 || !strings.Contains(p.LastError, "more than 3 ipv4 prefixes") {
		t.Errorf("%s, %d prefixes, %q", p.State, p.Received, p.LastError)
	}
	if g.dialWith(2, modelAS, session.Config{}) != nil {
		t.Error("the session came up again by itself")
	}
	if p := g.peer(3); p.State != bgp.Established || p.Received != 2 || p.Established != 1 {
		t.Errorf("the other session is %s with %d prefixes", p.State, p.Received)
	}

	// Another limit opens it, and a lesser one closes it.
	limits = bgp.MaxPrefix{Limit: 4, Restart: time.Second}
	g.sessions(g.to(2, limited(limits)), warn)
	r = g.dial(2, modelAS)
	r.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32")
	wait(t, "two prefixes", func() bool { return g.peer(2).Received == 2 })
	limits.Limit = 1
	g.sessions(g.to(2, limited(limits)), warn)
	wait(t, "the end", func() bool { _, gone := r.ended(); return gone })
	g.dial(2, modelAS) // after Restart
	if p := g.peer(2); p.Established != 3 {
		t.Errorf("came up %d times", p.Established)
	}
}

// TestMillionOverLimit: a peer that tells a million prefixes over its limit
// costs no more than the limit.
func TestMillionOverLimit(t *testing.T) {
	t.Parallel()
	g := newGround(t, 12)
	const limit = 1000
	g.sessions(g.to(2, limited(bgp.MaxPrefix{Limit: limit})))
	r := g.dial(2, modelAS)
	var prefixes []netip.Prefix
	for i := range 1 << 20 {
		prefixes = append(prefixes, hostRoute(i))
	}
	a := wire.Attributes{NextHop: wire.NextHop{Addr: g.router(2)}, HasLocalPref: true, LocalPref: 100}
	b, err := wire.AppendAnnouncements(nil, r.form, bgp.IPv4Unicast, a.Append(nil), each(prefixes))
	if err != nil {
		t.Fatal(err)
	}
	r.send(b)
	wait(t, "the session to close", func() bool { return g.peer(2).State == bgp.Idle })
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := g.rib.routes.records.len(); n > 2*limit {
		t.Errorf("room for %d routes was made", n)
	}
}

// TestRangeOverLimit: a limit holds for each peer of a range by itself.
func TestRangeOverLimit(t *testing.T) {
	t.Parallel()
	g := newGround(t, 13)
	g.sessions(g.within(0, 24, limited(bgp.MaxPrefix{Limit: 1})))
	r, other := g.dial(2, modelAS), g.dial(3, modelAS)
	other.announce(wire.Attributes{}, "10.3.0.1/32")
	r.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32")
	wait(t, "the end", func() bool { _, gone := r.ended(); return gone })
	if p := g.peer(2); p.State != bgp.Idle || p.LastError == "" {
		t.Errorf("a peer of a range over its limit: %s", fmt.Sprint(p))
	}
	// Another limit opens it, and it comes back after a while by itself.
	g.sessions(g.within(0, 24, limited(bgp.MaxPrefix{Limit: 2, Restart: time.Second})))
	r = g.dial(2, modelAS)
	r.announce(wire.Attributes{}, "10.2.0.1/32", "10.2.0.2/32", "10.2.0.3/32")
	wait(t, "the end again", func() bool { _, gone := r.ended(); return gone })
	g.dial(2, modelAS)
	if p := g.peer(3); p.State != bgp.Established || p.Received != 1 {
		t.Errorf("the other peer of the range: %s, %d prefixes", p.State, p.Received)
	}
}
