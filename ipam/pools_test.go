package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// wantPool asks for one address and checks which pool gives it; empty: none.
func (r *rig) wantPool(req Request, want string) {
	r.Helper()
	req.Handle, req.Owner = "h", external()
	if req.IPv4+req.IPv6 == 0 {
		req.IPv4 = 1
	}
	got, err := r.Allocate(r.Context(), req)
	switch {
	case want == "" && !errors.Is(err, ErrNoPool):
		r.Errorf("%+v: %v, %v; wanted no pool", req, got, err)
	case want != "" && err != nil:
		r.Errorf("%+v: %v", req, err)
	case want != "" && got.Allocations[0].Pool != want:
		r.Errorf("%+v: pool %s, wanted %s", req, got.Allocations[0].Pool, want)
	}
}

func TestWhichPool(t *testing.T) {
	off, manual, balancer, rack, tenant := pool("off=10.0.0.0/24/26"), pool("manual=10.1.0.0/24/26"),
		pool("balancer=10.2.0.0/24/26"), pool("rack=10.3.0.0/24/26"), pool("tenant=10.4.0.0/24/26")
	off.Disabled = true
	manual.Manual = true
	balancer.Uses = []Use{UseLoadBalancer}
	rack.NodeSelector = mustSelector("rack == 'r1'")
	tenant.NamespaceSelector = mustSelector("tenant == 't1'")
	r := newRig(t, tenant, rack, balancer, manual, off)
	r1, t1 := map[string]string{"rack": "r1"}, map[string]string{"tenant": "t1"}

	r.wantPool(Request{Node: "a"}, "")
	r.wantPool(Request{Node: "a", NodeLabels: r1}, "rack")
	r.wantPool(Request{Node: "a", NamespaceLabels: t1}, "tenant")
	r.wantPool(Request{Node: "b", NodeLabels: r1, NamespaceLabels: t1}, "rack") // in order of names
	r.wantPool(Request{Node: "c", NodeLabels: r1, NamespaceLabels: t1, Pools: []string{"tenant", "rack"}}, "tenant")
	r.wantPool(Request{Node: "c", NodeLabels: r1, NamespaceLabels: t1}, "tenant") // a block that it has, before another
	r.wantPool(Request{Node: "b", Pools: []string{"manual"}}, "manual")
	r.wantPool(Request{Node: "b", Pools: []string{"10.1.0.0/24"}}, "manual")
	r.wantPool(Request{Node: "b", Pools: []string{"rack"}}, "rack") // who names a pool is not selected
	r.wantPool(Request{Node: "b", Pools: []string{"off"}}, "")
	r.wantPool(Request{Node: "b", Pools: []string{"rack", "nowhere"}}, "")
	r.wantPool(Request{Node: "b", IPv6: 1, Pools: []string{"rack"}}, "")
	r.wantPool(Request{Node: "virtual:load-balancer", Use: UseLoadBalancer}, "balancer")
	r.wantPool(Request{Node: "b", Pools: []string{"balancer"}}, "")
	r.consistent()
}

// The refusal says of each pool why it is not for the request.
func TestNoPoolSaysWhy(t *testing.T) {
	off, rack := pool("off=10.0.0.0/24/26"), pool("rack=10.3.0.0/24/26")
	off.Disabled = true
	rack.NodeSelector = mustSelector("rack == 'r1'")
	r := newRig(t, off, rack)
	_, err := r.Allocate(t.Context(), ask("host1", "h", 1))
	const want = `no pool is for this request of IPv4 on node host1 (off: disabled; rack: nodeSelector rack == "r1" does not match the node)`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Of a request that takes any family the refusal tells a pool once, with the
// reason that somebody can do something about.
func TestNoPoolOfEitherFamily(t *testing.T) {
	off, six := pool("off=10.0.0.0/24/26"), pool("six=fd00::/64/122")
	off.Disabled, six.Disabled = true, true
	r := newRig(t, off, six)
	refusal := func(families Request, pools ...string) *NoPoolError {
		req := ask("host1", "h", families.IPv4)
		req.IPv6, req.Pools = families.IPv6, pools
		_, err := r.Allocate(t.Context(), req)
		var none *NoPoolError
		if !errors.As(err, &none) {
			t.Fatalf("%v of %v: %v", families, pools, err)
		}
		return none
	}
	four, sixth := Request{IPv4: 1}, Request{IPv6: 1}
	for _, c := range []struct {
		pools []string
		want  string
	}{
		{nil, "no pool is for this request on node host1 (off: disabled; six: disabled)"},
		{[]string{"off"}, "no pool is for this request on node host1 (off: disabled)"},
		{[]string{"six"}, "no pool is for this request on node host1 (six: disabled)"},
	} {
		if got := refusal(four, c.pools...).Either(refusal(sixth, c.pools...)); got.Error() != c.want {
			t.Errorf("%v: got %v, want %s", c.pools, got, c.want)
		}
	}
	if got, want := (&NoPoolError{}).Either(&NoPoolError{}).Error(), "no pool is for this request: there is no IPPool"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRequestedPoolOfTheOtherFamily(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"), pool("six=fd00::/64/122"))
	req := ask("host1", "h", 1)
	req.Pools = []string{"six"}
	_, err := r.Allocate(t.Context(), req)
	var none *NoPoolError
	if !errors.As(err, &none) || len(none.Pools) != 1 || none.Pools[0].Reason != "it is not of IPv4" {
		t.Errorf("got %v", err)
	}
}

// Load balancers and hosts neither borrow from each other nor take each other's
// blocks over.
func TestVirtualBlocksAreApart(t *testing.T) {
	a := pool("a=10.0.0.0/31/32")
	a.Uses = []Use{UseWorkload, UseLoadBalancer}
	r := newRig(t, a)
	r.one(ask("virtual:load-balancer", "lb", 1))
	if _, err := r.ReleaseHandle(t.Context(), "", "lb"); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Hour)
	wantShort(t, r.allocate(ask("host1", "h", 2)), 1, ErrPoolsExhausted)
	wantShort(t, r.allocate(ask("virtual:load-balancer", "lb", 2)), 1, ErrPoolsExhausted)
	r.consistent()
}

// A reservation at the start of a pool of more blocks than anybody counts
// leaves the others, wherever they are.
func TestHugePools(t *testing.T) {
	for _, c := range []struct{ pool, reserved, inside string }{
		{"a=fd00::/32/122", "", "fd00::/32"},
		{"a=fd00::/32/122", "fd00::/33", "fd00:0:8000::/33"},
		{"a=fd00::/32/116", "fd00::/64 fd00:0:0:1::/64", "fd00::/32"},
		{"a=fd00::/32/128", "fd00::/64 fd00:0:4000::/34 fd00:0:8000::/33", "fd00::/34"},
		{"a=::/0/122", "::/1", "8000::/1"},
		{"a=0.0.0.0/0/32", "0.0.0.0/1", "128.0.0.0/1"},
	} {
		r := newRig(t, pool(c.pool))
		for _, text := range strings.Fields(c.reserved) {
			r.settings.env.Reservations = append(r.settings.env.Reservations, netip.MustParsePrefix(text))
		}
		seen := make(map[netip.Prefix]bool)
		for i := range 20 {
			req := ask(fmt.Sprint("host", i), fmt.Sprint("h", i), 1)
			if strings.Contains(c.pool, ":") {
				req.IPv4, req.IPv6 = 0, 1
			}
			a := r.one(req)
			if seen[a.Block] || !netip.MustParsePrefix(c.inside).Contains(a.Address) {
				t.Errorf("%s without %q: %+v", c.pool, c.reserved, a)
			}
			seen[a.Block] = true
			req.Node = "host0"
			r.keepSpare(req)
		}
		r.consistent()
	}
}

// A pool of which nearly all is reserved gives the rest.
func TestMostlyReserved(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/16/26"))
	for p := netip.MustParsePrefix("10.0.0.0/16"); p.Bits() < 26; {
		h := halves(p)
		r.settings.env.Reservations = append(r.settings.env.Reservations, h[0])
		p = h[1]
	}
	if a := r.one(ask("host1", "h", 1)); a.Block.String() != "10.0.255.192/26" {
		t.Errorf("got %+v", a)
	}
	wantShort(t, r.allocate(ask("host2", "i", 64)), 63, ErrPoolsExhausted)
}

func TestDualStackInOneTransaction(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"), pool("b=fd00::/64/122"))
	count := &counting{Store: r.memory}
	r.Client = NewClient(count, r.settings)
	req := ask("host1", "h", 1)
	req.IPv6 = 1
	got := r.allocate(req)
	if len(got.Allocations) != 2 || !got.Allocations[0].Address.Is4() || got.Allocations[1].Address.Is4() || count.txns != 1 {
		t.Errorf("%+v in %d transactions", got, count.txns)
	}
	r.consistent()
}

// Without one of the two families nothing is taken of the other.
func TestDualStackIsAllOrNothing(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"), pool("b=fd00::/128/128"))
	req := Request{Node: "host1", Handle: "h", Owner: external(), IPv4: 1, IPv6: 2}
	if _, err := r.Allocate(t.Context(), req); !errors.Is(err, ErrPoolsExhausted) {
		t.Errorf("got %v", err)
	}
	if c := r.read(); len(c.Blocks)+len(c.Handles)+len(c.Affinities) != 0 {
		t.Errorf("left behind: %+v", c)
	}
}

func TestReservations(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/29/31"))
	for _, text := range []string{"10.0.0.0/31", "10.0.0.2/32", "10.0.0.4/32", "10.0.0.5/32"} {
		r.settings.env.Reservations = append(r.settings.env.Reservations, netip.MustParsePrefix(text))
	}
	wantShort(t, r.allocate(ask("host1", "h", 8)), 3, ErrPoolsExhausted)
	for _, b := range r.read().Blocks {
		if s := b.CIDR.String(); s == "10.0.0.0/31" || s == "10.0.0.4/31" {
			t.Errorf("block %s is claimed, and all of it reserved", s)
		}
	}
	// Who names a reserved address gets it.
	if _, err := r.Assign(t.Context(), AssignRequest{Address: netip.MustParseAddr("10.0.0.2"), Node: "host1", Handle: "i", Owner: external()}); err != nil {
		t.Error(err)
	}
	r.consistent()
}

// Unused blocks of pools that no longer select the node are given back.
func TestUnselectedBlocksAreGivenBack(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"), pool("b=10.1.0.0/24/26"))
	r.one(ask("host1", "h", 1))
	r.settings.env.Pools = []Pool{pool("a=10.0.0.0/24/26"), pool("b=10.1.0.0/24/26")}
	r.settings.env.Pools[0].NodeSelector = mustSelector("rack == 'r1'")
	r.one(ask("host1", "i", 1)) // of b: the block of a is in use
	if _, err := r.ReleaseHandle(t.Context(), "host1", "h"); err != nil {
		t.Fatal(err)
	}
	r.one(ask("host1", "j", 1))
	if got := r.affinities(); len(got) != 1 || !strings.Contains(got[0], "10.1.0.") {
		t.Errorf("affinities %q", got)
	}
	r.consistent()
}

func TestBadRequests(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	_, err := r.Allocate(t.Context(), Request{IPv4: -1, IPv6: MaxRequest + 1, MaxBlocks: -1, Use: "Fun"})
	var bad *RequestError
	if !errors.As(err, &bad) {
		t.Fatalf("got %v", err)
	}
	var paths []string
	for _, p := range bad.Problems {
		paths = append(paths, p.Path)
	}
	if got := strings.Join(paths, " "); got != "node ipv4 ipv6 maxBlocks use handle owner.kind" {
		t.Errorf("problems of %s", got)
	}
	_, err = r.Allocate(t.Context(), Request{Node: "a", Handle: "h", Owner: external()})
	if !errors.Is(err, ErrBadRequest) {
		t.Errorf("no address asked for: %v", err)
	}
}

func TestHandleHasOneOwner(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	r.one(ask("host1", "h", 1))
	req := ask("host1", "h", 1)
	req.Owner = Owner{OwnerEndpoint, "r/e"}
	_, err := r.Allocate(t.Context(), req)
	var e *HandleError
	if !errors.As(err, &e) || !errors.Is(err, ErrHandleOwner) || e.Owner != external() {
		t.Errorf("got %v", err)
	}
}

// The same request with Resume gives what it gave before.
func TestResume(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	req := ask("host1", "h", 3)
	req.Resume = true
	first := r.allocate(req)
	again := r.other().allocate(req)
	if len(again.Allocations) != 3 {
		t.Fatalf("got %+v", again)
	}
	for i, a := range again.Allocations {
		if !a.Existed || a.Address != first.Allocations[i].Address {
			t.Errorf("got %+v, wanted %s", a, first.Allocations[i].Address)
		}
	}
	req.IPv4 = 5
	if more := r.allocate(req); len(more.Allocations) != 5 || more.Allocations[4].Existed {
		t.Errorf("got %+v", more)
	}
	r.consistent()
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, ""},
		{Config{StrictAffinity: true, NoAutoAllocate: true, MaxBlocksPerHost: 3, Cooldown: MaxCooldown}, ""},
		{Config{NoAutoAllocate: true}, "spec.autoAllocateBlocks"},
		{Config{MaxBlocksPerHost: 3}, "spec.maxBlocksPerHost"},
		{Config{StrictAffinity: true, MaxBlocksPerHost: -1}, "spec.maxBlocksPerHost"},
		{Config{Cooldown: MaxCooldown + time.Second}, "spec.ipCooldownSeconds"},
		{Config{Cooldown: -1}, "spec.ipCooldownSeconds"},
	} {
		got := ""
		for _, p := range c.config.Check() {
			got += p.Path
		}
		if got != c.want {
			t.Errorf("%+v: %q, wanted %q", c.config, got, c.want)
		}
	}
}

func TestSplitPool(t *testing.T) {
	parts, err := SplitPool(pool("a=10.0.0.0/24/26"), 4)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, p := range parts {
		text = append(text, p.Name+"="+p.CIDR.String())
	}
	if got := strings.Join(text, " "); got != "a-0=10.0.0.0/26 a-1=10.0.0.64/26 a-2=10.0.0.128/26 a-3=10.0.0.192/26" {
		t.Errorf("parts %s", got)
	}
	for _, n := range []int{0, 1, 3, 8} {
		if parts, err := SplitPool(pool("a=10.0.0.0/24/26"), n); err == nil {
			t.Errorf("%d parts: %v", n, parts)
		}
	}
	if parts, err := SplitPool(pool("a=fd00::/32/122"), 2); err != nil || parts[1].CIDR.String() != "fd00:0:8000::/33" {
		t.Errorf("%v, %v", parts, err)
	}
}
