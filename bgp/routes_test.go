package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kernel is NextHops as text: gateways by next hop; "own" is our address.
type kernel map[string]string

func (k kernel) Resolve(a netip.Addr) (Resolution, bool) {
	way, ok := k[a.String()]
	if !ok {
		return Resolution{}, false
	}
	if way == "own" {
		return Resolution{Local: true}, true
	}
	var r Resolution
	for w := range strings.FieldsSeq(way) {
		gateway, link, _ := strings.Cut(w, "%")
		r.Hops = append(r.Hops, Hop{Gateway: addr(gateway), Interface: link})
	}
	return r, true
}

func (c Changes) String() string {
	var b strings.Builder
	for _, g := range c.Groups {
		var hops []string
		for _, h := range g.Hops {
			hops = append(hops, fmt.Sprintf("%s%%%s", h.Gateway, h.Interface))
		}
		fmt.Fprintf(&b, "group %s: %s", g.Key, strings.Join(hops, " "))
		if len(g.Unresolved) > 0 {
			fmt.Fprintf(&b, " unresolved %v", g.Unresolved)
		}
		b.WriteByte('\n')
	}
	for _, r := range c.Routes {
		fmt.Fprintf(&b, "route %s: %s\n", r.Prefix, r.Group)
	}
	for _, k := range c.Gone {
		fmt.Fprintf(&b, "gone %s\n", k)
	}
	return b.String()
}

func TestRoutes(t *testing.T) {
	k := kernel{
		"192.0.2.1": "192.0.2.1%eth0",
		"192.0.2.2": "192.0.2.2%eth0",
		"10.0.0.1":  "192.0.2.254%eth0 192.0.2.253%eth1",
		"10.0.0.2":  "192.0.2.254%eth0",
		"192.0.2.9": "own",
	}
	r := NewRoutes(k)
	put := func(p string, nextHops ...string) func() {
		return func() {
			set := PathSet{Prefix: prefix(p)}
			for _, n := range nextHops {
				set.Paths = append(set.Paths, Path{NextHop: addr(n)})
			}
			r.Put(set)
		}
	}
	set := func(a, way string) func() { return func() { k[a] = way; r.Refresh() } }
	for _, step := range []struct {
		name string
		do   []func()
		want string
	}{
		{"nothing", nil, ""},
		{"two prefixes of one group", []func(){
			put("10.1.0.1/32", "192.0.2.2", "192.0.2.1"), put("10.1.0.2/32", "192.0.2.1", "192.0.2.2", "192.0.2.1"),
		}, `group 192.0.2.1 192.0.2.2: 192.0.2.1%eth0 192.0.2.2%eth0
route 10.1.0.1/32: 192.0.2.1 192.0.2.2
route 10.1.0.2/32: 192.0.2.1 192.0.2.2
`},
		{"the same again", []func(){put("10.1.0.1/32", "192.0.2.1", "192.0.2.2")}, ""},
		{"gateways that several next hops share", []func(){put("10.1.0.3/32", "10.0.0.1", "10.0.0.2")},
			`group 10.0.0.1 10.0.0.2: 192.0.2.254%eth0 192.0.2.253%eth1
route 10.1.0.3/32: 10.0.0.1 10.0.0.2
`},
		{"a way changes: no route does", []func(){set("192.0.2.2", "192.0.2.2%eth9")},
			"group 192.0.2.1 192.0.2.2: 192.0.2.1%eth0 192.0.2.2%eth9\n"},
		{"looking again changes nothing", []func(){r.Refresh}, ""},
		{"our own address", []func(){put("10.1.0.4/32", "192.0.2.9")},
			"group 192.0.2.9:  unresolved [192.0.2.9]\nroute 10.1.0.4/32: 192.0.2.9\n"},
		{"no way yet", []func(){put("10.1.0.5/32", "10.1.0.4", "10.7.7.7")},
			"group 10.1.0.4 10.7.7.7:  unresolved [10.1.0.4 10.7.7.7]\nroute 10.1.0.5/32: 10.1.0.4 10.7.7.7\n"},
		{"a way over a BGP route", []func(){put("10.7.0.0/16", "192.0.2.1")},
			`group 10.1.0.4 10.7.7.7: 192.0.2.1%eth0 unresolved [10.1.0.4]
group 192.0.2.1: 192.0.2.1%eth0
route 10.7.0.0/16: 192.0.2.1
`},
		{"a more specific one that leads nowhere", []func(){put("10.7.7.0/24", "10.9.9.9")},
			`group 10.1.0.4 10.7.7.7:  unresolved [10.1.0.4 10.7.7.7]
group 10.9.9.9:  unresolved [10.9.9.9]
route 10.7.7.0/24: 10.9.9.9
`},
		{"a loop", []func(){put("10.9.0.0/16", "10.7.7.1")},
			"group 10.7.7.1:  unresolved [10.7.7.1]\nroute 10.9.0.0/16: 10.7.7.1\n"},
		{"a route of the kernel wins", []func(){set("10.7.7.7", "192.0.2.8%eth1")},
			"group 10.1.0.4 10.7.7.7: 192.0.2.8%eth1 unresolved [10.1.0.4]\n"},
		{"gone", []func(){
			put("10.1.0.1/32"), put("10.1.0.2/32", "192.0.2.1"), put("10.1.0.3/32"), put("10.1.0.4/32"),
			put("10.1.0.5/32"), put("10.7.7.0/24"), put("10.9.0.0/16"), put("10.7.0.0/16"),
		}, `route 10.1.0.1/32: 
route 10.1.0.2/32: 192.0.2.1
route 10.1.0.3/32: 
route 10.1.0.4/32: 
route 10.1.0.5/32: 
route 10.7.0.0/16: 
route 10.7.7.0/24: 
route 10.9.0.0/16: 
gone 10.0.0.1 10.0.0.2
gone 10.1.0.4 10.7.7.7
gone 10.7.7.1
gone 10.9.9.9
gone 192.0.2.1 192.0.2.2
gone 192.0.2.9
`},
		{"there and back between two calls", []func(){put("10.1.0.9/32", "192.0.2.2"), put("10.1.0.9/32")},
			"route 10.1.0.9/32: \n"},
	} {
		for _, do := range step.do {
			do()
		}
		if diff := cmp.Diff(step.want, r.Drain().String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if g, ok := r.Group(prefix("10.1.0.2/32")); !ok || len(g.Hops) != 1 {
		t.Errorf("group of 10.1.0.2: %+v, %t", g, ok)
	}
	if _, ok := r.Group(prefix("10.1.0.9/32")); ok {
		t.Error("a group of a prefix that is gone")
	}
}

// TestRouteChain: a next hop is found over four BGP routes and not over five.
func TestRouteChain(t *testing.T) {
	r := NewRoutes(kernel{"192.0.2.1": "192.0.2.1%eth0"})
	via := "192.0.2.1"
	for i := range 6 {
		p := fmt.Sprintf("10.1.0.%d/32", i)
		r.Put(PathSet{Prefix: prefix(p), Paths: []Path{{NextHop: addr(via)}}})
		via = strings.TrimSuffix(p, "/32")
	}
	r.Drain()
	for i := range 6 {
		g, _ := r.Group(prefix(fmt.Sprintf("10.1.0.%d/32", i)))
		if found := len(g.Hops) == 1; found != (i <= 4) {
			t.Errorf("route %d over %d others: found %t", i, i, found)
		}
	}
}
