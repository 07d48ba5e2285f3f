package bgp

import (
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// ruled is a BGPFilter of import rules, IPv6 ones by their prefix, that are the
// export rules as well.
func ruled(name string, rules ...resource.FilterRule) *resource.BGPFilter {
	f := &resource.BGPFilter{Meta: resource.Meta{ID: resource.ID{Kind: resource.KindBGPFilter, Name: name}}}
	for _, r := range rules {
		if r.Prefix.Addr().Is6() {
			f.ImportV6, f.ExportV6 = append(f.ImportV6, r), append(f.ExportV6, r)
			continue
		}
		f.ImportV4, f.ExportV4 = append(f.ImportV4, r), append(f.ExportV4, r)
	}
	return f
}

func within(operator, prefix string, lengths ...int) resource.FilterRule {
	r := resource.FilterRule{Prefix: netip.MustParsePrefix(prefix), MatchOperator: operator, Accept: true}
	if len(lengths) > 0 {
		r.MinLength = &lengths[0]
	}
	if len(lengths) > 1 {
		r.MaxLength = &lengths[1]
	}
	return r
}

// told is a path of an internal peer; changed as set says.
func told(prefix string, set func(*Path)) *Path {
	p := &Path{Prefix: netip.MustParsePrefix(prefix), Peer: netip.MustParseAddr("192.0.2.1"), LocalPref: DefaultLocalPref}
	if set != nil {
		set(p)
	}
	return p
}

// TestCriteria has each criterion of a rule alone.
func TestCriteria(t *testing.T) {
	internal, external := &Session{LocalAS: 64512, PeerAS: 64512}, &Session{LocalAS: 64512, PeerAS: 65001}
	rule := func(set func(*resource.FilterRule)) resource.FilterRule {
		r := resource.FilterRule{Accept: true}
		set(&r)
		return r
	}
	community := []resource.CommunityValue{{Value: [3]uint32{64512<<16 | 7}}, {Large: true, Value: [3]uint32{64512, 1, 2}}}
	for _, c := range []struct {
		name string
		rule resource.FilterRule
		path *Path
		over *Session
		want bool
	}{
		{"no criterion", rule(func(*resource.FilterRule) {}), told("10.0.0.0/8", nil), internal, true},
		{"the other family", rule(func(*resource.FilterRule) {}), told("fd00::/8", nil), internal, false},
		{"Equal", within("Equal", "10.0.0.0/8"), told("10.0.0.0/8", nil), internal, true},
		{"Equal with host bits", within("Equal", "10.0.0.1/8"), told("10.0.0.0/8", nil), internal, true},
		{"Equal and longer", within("Equal", "10.0.0.0/8"), told("10.0.0.0/9", nil), internal, false},
		{"NotEqual", within("NotEqual", "10.0.0.0/8"), told("10.0.0.0/9", nil), internal, true},
		{"NotEqual and equal", within("NotEqual", "10.0.0.0/8"), told("10.0.0.0/8", nil), internal, false},
		{"In and equal", within("In", "10.0.0.0/8"), told("10.0.0.0/8", nil), internal, true},
		{"In and longer", within("In", "10.0.0.0/8"), told("10.1.2.3/32", nil), internal, true},
		{"In and shorter", within("In", "10.0.0.0/8"), told("0.0.0.0/0", nil), internal, false},
		{"In and beside", within("In", "10.0.0.0/8"), told("11.0.0.0/9", nil), internal, false},
		{"In, too short", within("In", "10.0.0.0/8", 16, 24), told("10.0.0.0/15", nil), internal, false},
		{"In, the shortest", within("In", "10.0.0.0/8", 16, 24), told("10.0.0.0/16", nil), internal, true},
		{"In, the longest", within("In", "10.0.0.0/8", 16, 24), told("10.0.0.0/24", nil), internal, true},
		{"In, too long", within("In", "10.0.0.0/8", 16, 24), told("10.0.0.0/25", nil), internal, false},
		{"NotIn and beside", within("NotIn", "10.0.0.0/8"), told("11.0.0.0/9", nil), internal, true},
		{"NotIn and longer", within("NotIn", "10.0.0.0/8"), told("10.1.0.0/16", nil), internal, false},
		{"NotIn, too long to be in", within("NotIn", "10.0.0.0/8", 16, 24), told("10.0.0.0/25", nil), internal, true},
		{"a default route", within("Equal", "0.0.0.0/0"), told("0.0.0.0/0", nil), internal, true},
		{"all of IPv6", within("In", "::/0"), told("fd00::1/128", nil), internal, true},
		{"from a peer", rule(func(r *resource.FilterRule) { r.RemotePeers = true }), told("10.0.0.0/8", nil), internal, true},
		{"our own", rule(func(r *resource.FilterRule) { r.RemotePeers = true }),
			told("10.0.0.0/8", func(p *Path) { p.Peer = netip.Addr{} }), internal, false},
		{"an interface", rule(func(r *resource.FilterRule) { r.Interface = "cali*" }),
			told("10.0.0.0/8", func(p *Path) { p.Interface = "cali123" }), internal, true},
		{"another interface", rule(func(r *resource.FilterRule) { r.Interface = "cali*" }),
			told("10.0.0.0/8", func(p *Path) { p.Interface = "eth0" }), internal, false},
		{"no interface", rule(func(r *resource.FilterRule) { r.Interface = "cali*" }), told("10.0.0.0/8", nil), internal, false},
		{"no glob at all", rule(func(r *resource.FilterRule) { r.Interface = "[" }),
			told("10.0.0.0/8", func(p *Path) { p.Interface = "[" }), internal, false},
		{"iBGP", rule(func(r *resource.FilterRule) { r.PeerType = "iBGP" }), told("10.0.0.0/8", nil), internal, true},
		{"iBGP over eBGP", rule(func(r *resource.FilterRule) { r.PeerType = "iBGP" }), told("10.0.0.0/8", nil), external, false},
		{"eBGP", rule(func(r *resource.FilterRule) { r.PeerType = "eBGP" }), told("10.0.0.0/8", nil), external, true},
		{"eBGP over iBGP", rule(func(r *resource.FilterRule) { r.PeerType = "eBGP" }), told("10.0.0.0/8", nil), internal, false},
		{"communities, all there", rule(func(r *resource.FilterRule) { r.Communities = community }), told("10.0.0.0/8", func(p *Path) {
			p.Communities, p.LargeCommunities = []Community{1, 64512<<16 | 7}, []LargeCommunity{{64512, 1, 2}, {1, 1, 1}}
		}), internal, true},
		{"communities, one there", rule(func(r *resource.FilterRule) { r.Communities = community }), told("10.0.0.0/8", func(p *Path) {
			p.Communities = []Community{64512<<16 | 7}
		}), internal, false},
		{"AS path begins so", rule(func(r *resource.FilterRule) { r.ASPath = []uint32{65001, 65002} }),
			told("10.0.0.0/8", func(p *Path) { p.ASPath = []uint32{65001, 65002, 65003} }), external, true},
		{"AS path is that", rule(func(r *resource.FilterRule) { r.ASPath = []uint32{65001} }),
			told("10.0.0.0/8", func(p *Path) { p.ASPath = []uint32{65001} }), external, true},
		{"AS path holds it later", rule(func(r *resource.FilterRule) { r.ASPath = []uint32{65002} }),
			told("10.0.0.0/8", func(p *Path) { p.ASPath = []uint32{65001, 65002} }), external, false},
		{"AS path is shorter", rule(func(r *resource.FilterRule) { r.ASPath = []uint32{65001, 65002} }),
			told("10.0.0.0/8", func(p *Path) { p.ASPath = []uint32{65001} }), external, false},
		{"elevated priority", rule(func(r *resource.FilterRule) { r.Priority = new(512) }),
			told("10.0.0.0/8", func(p *Path) { p.LocalPref = 1<<31 - 1 - 512 }), internal, true},
		{"another priority", rule(func(r *resource.FilterRule) { r.Priority = new(512) }), told("10.0.0.0/8", nil), internal, false},
	} {
		cache := &FilterCache{}
		cache.compile([]*resource.BGPFilter{ruled("f", c.rule)})
		f, _ := cache.get("f")
		policy := &Policy{Filters: []*Filter{f}}
		want := NoMatch
		if c.want {
			want = Accepted
		}
		if got, _ := policy.Import(c.path, c.over); got != want {
			t.Errorf("%s: import %d, want %d", c.name, got, want)
		}
		if got, _ := policy.Export(c.path, c.over); got != want {
			t.Errorf("%s: export %d, want %d", c.name, got, want)
		}
	}
}

// All criteria of a rule have to hold, the first rule that matches decides,
// filters go in the order in which they are listed, and where none matches it
// is left to what holds without filters.
func TestOrderOfRules(t *testing.T) {
	reject := func(r resource.FilterRule) resource.FilterRule { r.Accept = false; return r }
	tagged := within("In", "10.0.0.0/8")
	tagged.AddCommunities = []resource.CommunityValue{{Value: [3]uint32{7}}, {Large: true, Value: [3]uint32{1, 2, 3}}}
	tagged.Prepend, tagged.SetPriority = []uint32{64512, 64512}, new(512)
	fromTor := within("In", "10.0.0.0/8")
	fromTor.PeerType, fromTor.ASPath = "eBGP", []uint32{65001}
	oneWay := ruled("import-only", within("In", "0.0.0.0/0"))
	oneWay.ExportV4 = nil
	cache := &FilterCache{}
	cache.compile([]*resource.BGPFilter{
		ruled("no-ten", reject(within("Equal", "10.0.0.0/8"))), ruled("tagged", tagged),
		ruled("tor", fromTor), oneWay,
		ruled("both", within("Equal", "10.0.0.0/8"), reject(within("In", "10.0.0.0/8")), within("In", "::/0")),
	})
	s := &Session{LocalAS: 64512, PeerAS: 65001}
	for _, c := range []struct {
		filters        []string
		path           *Path
		imports, sends Verdict
		changed        bool
	}{
		{nil, told("10.0.0.0/8", nil), NoMatch, NoMatch, false},
		{[]string{"no-ten", "tagged"}, told("10.0.0.0/8", nil), Rejected, Rejected, false},
		{[]string{"tagged", "no-ten"}, told("10.0.0.0/8", nil), Accepted, Accepted, true},
		{[]string{"no-ten", "tagged"}, told("10.1.0.0/16", nil), Accepted, Accepted, true},
		{[]string{"no-ten", "tagged"}, told("11.0.0.0/8", nil), NoMatch, NoMatch, false},
		{[]string{"both"}, told("10.0.0.0/8", nil), Accepted, Accepted, false},
		{[]string{"both"}, told("10.0.0.0/9", nil), Rejected, Rejected, false},
		{[]string{"both"}, told("fd00::/64", nil), Accepted, Accepted, false},
		{[]string{"import-only"}, told("0.0.0.0/0", nil), Accepted, NoMatch, false},
		{[]string{"tor"}, told("10.0.0.0/8", nil), NoMatch, NoMatch, false},
		{[]string{"tor"}, told("10.0.0.0/8", func(p *Path) { p.ASPath = []uint32{65001} }), Accepted, Accepted, false},
		// What is not there rejects what reaches it, of both families.
		{[]string{"gone"}, told("10.0.0.0/8", nil), Rejected, Rejected, false},
		{[]string{"gone", "both"}, told("fd00::/64", nil), Rejected, Rejected, false},
		{[]string{"both", "gone"}, told("10.0.0.0/8", nil), Accepted, Accepted, false},
		{[]string{"both", "gone"}, told("11.0.0.0/8", nil), Rejected, Rejected, false},
	} {
		p := &Policy{}
		for _, name := range c.filters {
			f, _ := cache.get(name)
			p.Filters = append(p.Filters, f)
		}
		imports, change := p.Import(c.path, s)
		sends, _ := p.Export(c.path, s)
		if imports != c.imports || sends != c.sends || (change != nil) != c.changed {
			t.Errorf("%s through %v: import %d, export %d, changed %t", c.path.Prefix, c.filters, imports, sends, change != nil)
		}
		if c.changed && (len(change.AddCommunities) != 1 || change.AddLarge[0] != LargeCommunity{1, 2, 3} ||
			len(change.Prepend) != 2 || !change.HasPriority || change.Priority != 512) {
			t.Errorf("it does %+v", change)
		}
	}
}

// A filter that says the same stays the same object, whatever becomes of the
// BGPFilter, so that nothing is judged again without need.
func TestFiltersStayTheSame(t *testing.T) {
	cache := &FilterCache{}
	get := func(name string, filters ...*resource.BGPFilter) *Filter {
		cache.compile(filters)
		f, _ := cache.get(name)
		return f
	}
	one := ruled("f", within("In", "10.0.0.0/8"))
	first := get("f", one)
	if get("f", one, ruled("g")) != first || get("f", ruled("f", within("In", "10.0.0.0/8"))) != first {
		t.Error("another object for the same filter")
	}
	changed := get("f", ruled("f", within("In", "10.0.0.0/9")))
	if changed == first {
		t.Error("the same object for another filter")
	}
	gone := get("f")
	if gone == changed || get("f") != gone {
		t.Error("the stand-in for a filter that is gone is not one object")
	}
	policies := func(in Input) []*Policy {
		sessions, _ := Sessions(in)
		var all []*Policy
		for _, s := range sessions {
			all = append(all, s.Policy)
		}
		return all
	}
	in := Input{
		Node: "a", Compiled: cache, Filters: []*resource.BGPFilter{one},
		Nodes: []*resource.Node{node(t, "a", "10.0.0.1", ""), node(t, "b", "10.0.0.2", ""), node(t, "c", "10.0.0.3", "")},
		Configurations: []*resource.BGPConfiguration{named("default", func(c *resource.BGPConfiguration) {
			c.NodeToNodeMesh, c.Sessions.Filters = true, &[]string{"f"}
		})},
	}
	before, after := policies(in), policies(in)
	if len(before) != 2 || before[0] != before[1] || !before[0].Equal(after[0]) {
		t.Error("sessions that let the same through do not share a policy, or not from one call to the next")
	}
}
