package ipam

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/store"
)

func TestCheckRoutes(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	r.allocate(ask("host1", "held", 2)) // 10.0.0.0 and 10.0.0.1, or of another block
	var held []netip.Addr
	for _, b := range r.read().Blocks {
		for _, h := range b.Holdings() {
			held = append(held, h.Address)
		}
	}
	at := netip.MustParseAddr
	programmed := NodeRoute{Programmed: true}
	endpoints := map[netip.Addr]Placed{
		held[0]:            {"r/a", "host1"},
		at("192.0.2.1"):    {"r/b", "host1"}, // in no pool
		at("192.0.2.2"):    {"r/c", "host2"},
		at("192.0.2.3"):    {"r/d", "away"},
		at("2001:db8::1"):  {"r/e", "host2"},
		at("2001:db8::15"): {"r/f", "host2"},
	}
	routes := map[string]map[netip.Addr]NodeRoute{
		"host1": {
			held[0]: programmed, held[1]: programmed, at("192.0.2.1"): programmed, at("192.0.2.2"): programmed, at("10.0.0.200"): programmed,
			at("10.0.0.201"): {Problem: "left, and not in the kernel"},
		},
		"host2": {at("2001:db8::1"): programmed, at("2001:db8::15"): {Problem: "interface vr1 does not exist"}},
	}
	r.write(store.AddressKey(held[0]), text("r/a"))
	r.write(store.AddressKey(at("192.0.2.9")), text("r/gone"))
	var got []string
	for _, f := range r.read().CheckRoutes(endpoints, routes) {
		got = append(got, f.String())
	}
	want := []string{
		"route-no-endpoint: host1 " + held[1].String() + ": handle held holds it, and no endpoint has it",
		"route-not-allocated: host1 10.0.0.200: nobody holds it",
		"route-elsewhere: host1 192.0.2.2: it is of endpoint r/c on node host2",
		"no-route: host2 192.0.2.2: it is of endpoint r/c; the node says: nothing of such a route",
		"no-route: host2 2001:db8::15: it is of endpoint r/f; the node says: interface vr1 does not exist",
		"no-endpoint-object: 192.0.2.9: it is noted for endpoint r/gone, which is gone, has others or cannot be read",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := r.read().CheckRoutes(endpoints, nil); len(all) != 1 {
		t.Errorf("nodes that were not asked: %v", all)
	}
}
