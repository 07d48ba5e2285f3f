package reflector

import (
	"net/netip"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// owners is Owners as a map.
type owners map[netip.Prefix]string

func (o owners) Owner(p netip.Prefix) (string, bool) {
	node, ok := o[p]
	return node, ok
}

var (
	one   = netip.MustParsePrefix("10.0.0.1/32")
	other = netip.MustParsePrefix("10.0.0.2/32")
	block = netip.MustParsePrefix("10.0.1.0/26")
	far   = netip.MustParsePrefix("192.0.2.0/24")
)

func host(name, address string) *resource.Node {
	return &resource.Node{
		Meta: resource.Meta{ID: resource.ID{Kind: resource.KindNode, Name: name}},
		IPv4: netip.MustParsePrefix(address + "/24"),
	}
}

func enforced() State {
	return State{
		Mode: resource.OriginCheckEnforce, Trusted: true,
		Pools:      bgp.NewPools([]bgp.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/16")}}),
		Nodes:      []*resource.Node{host("a", "172.16.0.1"), host("b", "172.16.0.2"), host("rr", "172.16.0.9")},
		Reflectors: map[string]bool{"rr": true},
	}
}

func session(node, address string) *bgp.Session {
	return &bgp.Session{PeerNode: node, Peer: netip.MustParseAddr(address), PeerAS: 64512, LocalAS: 64512}
}

func path(p netip.Prefix, nextHop, originator string) *bgp.Path {
	path := &bgp.Path{Prefix: p, NextHop: netip.MustParseAddr(nextHop)}
	if originator != "" {
		path.OriginatorID = netip.MustParseAddr(originator)
	}
	return path
}

func TestJudge(t *testing.T) {
	fromA, fromB, fromRR := session("a", "172.16.0.1"), session("b", "172.16.0.2"), session("rr", "172.16.0.9")
	stranger, lettingIn := session("", "172.16.0.66"), session("b", "172.16.0.2")
	lettingIn.Policy = &bgp.Policy{Filters: []*bgp.Filter{{Import: []*bgp.FilterRule{{Family: bgp.IPv4Unicast}}}}}
	for _, c := range []struct {
		name string
		path *bgp.Path
		via  *bgp.Session
		want bgp.Refusal
	}{
		{"its host", path(one, "172.16.0.1", ""), fromA, ""},
		{"its host, another next hop", path(one, "172.16.0.77", ""), fromA, ""},
		{"another host", path(one, "172.16.0.2", ""), fromB, Anothers},
		{"another host with the next hop of the owner", path(one, "172.16.0.1", ""), fromB, Anothers},
		{"another host that writes the owner's id", path(one, "172.16.0.2", "172.16.0.1"), fromB, Anothers},
		{"a reflector, for the owner", path(one, "172.16.0.1", "172.16.0.1"), fromRR, ""},
		{"a reflector, for the owner, whose address came after its start",
			path(one, "172.16.0.1", bgp.RouterID("a", netip.Prefix{}).String()), fromRR, ""},
		{"a reflector, for another, whose address came after its start",
			path(one, "172.16.0.1", bgp.RouterID("b", netip.Prefix{}).String()), fromRR, Anothers},
		{"a reflector, for another", path(one, "172.16.0.2", "172.16.0.2"), fromRR, Anothers},
		{"a reflector that kept no originator", path(one, "172.16.0.1", ""), fromRR, ""},
		{"a stranger with itself as next hop", path(one, "172.16.0.66", "172.16.0.1"), stranger, Anothers},
		{"a stranger that leads to the owner", path(one, "172.16.0.1", ""), stranger, ""},
		{"nobody's", path(other, "172.16.0.1", ""), fromA, Nobodys},
		{"part of a pool, nobody's", path(netip.MustParsePrefix("10.0.0.0/26"), "172.16.0.1", ""), fromA, Nobodys},
		{"a block, its host", path(block, "172.16.0.1", ""), fromA, ""},
		{"a block, another host", path(block, "172.16.0.2", ""), fromB, Anothers},
		{"a block, a reflector for its host", path(block, "172.16.0.1", "172.16.0.1"), fromRR, ""},
		{"a block, a reflector for another", path(block, "172.16.0.2", "172.16.0.2"), fromRR, Anothers},
		{"half a block", path(netip.MustParsePrefix("10.0.1.0/27"), "172.16.0.1", ""), fromA, Nobodys},
		{"outside the pools", path(far, "172.16.0.2", ""), fromB, ""},
		{"let in by a filter", path(one, "172.16.0.2", ""), lettingIn, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := NewOrigins(owners{one: "a", block: "a"})
			o.Set(enforced())
			if got := o.Judge(c.path, c.via); got != c.want {
				t.Errorf("enforced: %q, want %q", got, c.want)
			}
			s := enforced()
			s.Mode = resource.OriginCheckLog
			o.Set(s)
			if got := o.Judge(c.path, c.via); got != "" {
				t.Errorf("logged: %q", got)
			}
			if ever, _ := o.Counts(); c.want != "" && ever[c.want] != 2 {
				t.Errorf("counted %v, want 2 of %q", ever, c.want)
			}
			s.Mode = resource.OriginCheckOff
			o.Set(s)
			if got := o.Judge(c.path, c.via); got != "" {
				t.Errorf("off: %q", got)
			}
		})
	}
}

func TestMovedEndpoint(t *testing.T) {
	table := owners{one: "a"}
	o := NewOrigins(table)
	o.Set(enforced())
	old, new := path(one, "172.16.0.1", ""), path(one, "172.16.0.2", "")
	if got := o.Judge(new, session("b", "172.16.0.2")); got != Anothers {
		t.Errorf("before the store moves: %q", got)
	}
	table[one] = "b"
	if got := o.Judge(new, session("b", "172.16.0.2")); got != "" {
		t.Errorf("new host: %q", got)
	}
	if got := o.Judge(old, session("a", "172.16.0.1")); got != Anothers {
		t.Errorf("old host: %q", got)
	}
	if _, now := o.Counts(); now[Anothers] != 1 {
		t.Errorf("refused now: %v", now)
	}
}

// TestStoreIsAway shows that nothing new is refused then, and that what was
// refused stays so.
func TestStoreIsAway(t *testing.T) {
	table := owners{one: "a"}
	o := NewOrigins(table)
	o.Set(enforced())
	good, bad := path(one, "172.16.0.1", ""), path(one, "172.16.0.2", "")
	viaA, viaB := session("a", "172.16.0.1"), session("b", "172.16.0.2")
	o.Judge(good, viaA)
	o.Judge(bad, viaB)

	s := enforced()
	s.Trusted, s.Heard = false, time.Now()
	if o.Set(s) {
		t.Error("paths are judged again because the store went away")
	}
	s.Down = map[string]bool{"a": true}
	if o.Set(s) {
		t.Error("paths are judged again while the store is away")
	}
	clear(table)
	for _, c := range []struct {
		name string
		path *bgp.Path
		via  *bgp.Session
		want bgp.Refusal
	}{
		{"accepted before", good, viaA, ""},
		{"refused before", bad, viaB, Anothers},
		{"not known before", path(other, "172.16.0.2", ""), viaB, ""},
	} {
		if got := o.Judge(c.path, c.via); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}

	if !o.Set(enforced()) {
		t.Error("paths are not judged again when the store is back")
	}
	if got := o.Judge(good, viaA); got != Nobodys {
		t.Errorf("the endpoint went meanwhile: %q", got)
	}
}

// TestStoreWentUnnoticed shows that what was refused after the store was heard
// last is let pass when it is found to be away.
func TestStoreWentUnnoticed(t *testing.T) {
	o := NewOrigins(owners{one: "a"})
	s := enforced()
	s.Heard = time.Now()
	o.Set(s)
	unknown := path(other, "172.16.0.2", "")
	if got := o.Judge(unknown, session("b", "172.16.0.2")); got != Nobodys {
		t.Errorf("the store seems to be there: %q", got)
	}
	s.Trusted = false
	if !o.Set(s) {
		t.Error("it is not judged again")
	}
	if got := o.Judge(unknown, session("b", "172.16.0.2")); got != "" {
		t.Errorf("the store is away: %q", got)
	}
}

func TestDeadHost(t *testing.T) {
	o := NewOrigins(owners{one: "a"})
	s := enforced()
	o.Set(s)
	stale := path(one, "172.16.0.1", "")
	if got := o.Judge(stale, session("a", "172.16.0.1")); got != "" {
		t.Errorf("alive: %q", got)
	}
	s.Down = map[string]bool{"a": true}
	if !o.Set(s) {
		t.Error("paths are not judged again when a host died")
	}
	if got := o.Judge(stale, session("a", "172.16.0.1")); got != DeadHost {
		t.Errorf("dead: %q", got)
	}
	if got := o.Judge(path(one, "172.16.0.1", "172.16.0.1"), session("rr", "172.16.0.9")); got != DeadHost {
		t.Errorf("dead, told by a reflector: %q", got)
	}
}

func TestReports(t *testing.T) {
	o := NewOrigins(owners{one: "a"})
	o.Set(enforced())
	for range 3 { // the same path again is no news
		o.Judge(path(one, "172.16.0.2", ""), session("b", "172.16.0.2"))
		o.Judge(path(other, "172.16.0.2", ""), session("b", "172.16.0.2"))
	}
	o.Judge(path(netip.MustParsePrefix("10.0.0.3/32"), "172.16.0.2", ""), session("b", "172.16.0.2"))
	select {
	case <-o.News():
	default:
		t.Error("no news")
	}
	got := o.Reports()
	if len(got) != 2 || got[0].Reason != Nobodys || got[0].Paths != 2 || got[1].Reason != Anothers ||
		got[1].Owner != "a" || got[1].From != "b" || got[1].Prefix != one {
		t.Errorf("reports: %+v", got)
	}
	if again := o.Reports(); len(again) != 0 {
		t.Errorf("reported twice: %+v", again)
	}
}
