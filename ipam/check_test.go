package ipam

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

// write puts objects past all steps, as nobody should.
func (r *rig) write(key string, e encoder) {
	r.Helper()
	op := store.Op{Key: key, Delete: e == nil}
	if e != nil {
		op.Value = encoded(r, e)
	}
	if _, err := r.memory.Txn(r.Context(), nil, []store.Op{op}); err != nil {
		r.Fatal(err)
	}
}

// Each damage is found, and named.
func TestCheckFinds(t *testing.T) {
	first := func(r *rig) *Block { return r.read().Blocks[0] }
	for _, c := range []struct {
		name   string
		damage func(*rig)
		want   string // kinds and subjects
	}{
		{"nothing", func(*rig) {}, ""},
		{"an affinity is gone", func(r *rig) {
			r.write(store.HostBlockKey("host1", first(r).CIDR), nil)
		}, "no-affinity 10.0.0.0/24"},
		{"a block is gone", func(r *rig) {
			r.write(store.BlockKey(first(r).CIDR), nil)
		}, "affinity-no-block host1 10.0.0.0/24, handle-count h"},
		{"a handle is gone", func(r *rig) { r.write(store.HandleKey("h"), nil) }, "handle-missing h"},
		{"a handle of nothing", func(r *rig) {
			r.write(store.HandleKey("x"), &Handle{ID: "x", Blocks: map[netip.Prefix]int{first(r).CIDR: 2}})
		}, "handle-count x"},
		{"two affinities", func(r *rig) {
			a := &BlockAffinity{Node: "host2", CIDR: first(r).CIDR, State: Confirmed}
			r.write(store.HostBlockKey(a.Node, a.CIDR), a)
		}, "affinity-not-owner host2 10.0.0.0/24"},
		{"a reserve in use", func(r *rig) {
			a := &BlockAffinity{Node: "host1", CIDR: first(r).CIDR, State: Pending}
			r.write(store.HostBlockKey(a.Node, a.CIDR), a)
		}, "pending-in-use host1 10.0.0.0/24"},
		{"blocks that overlap", func(r *rig) {
			b := newBlock(netip.MustParsePrefix("10.0.0.128/25"), 1)
			r.write(store.BlockKey(b.CIDR), b)
		}, "overlap 10.0.0.0/24, wrong-size 10.0.0.128/25"},
		{"a block in no pool", func(r *rig) {
			b := newBlock(netip.MustParsePrefix("192.0.2.0/26"), 1)
			r.write(store.BlockKey(b.CIDR), b)
		}, "outside-pools 192.0.2.0/26"},
		{"a block that cannot be read", func(r *rig) {
			r.write(store.BlockKey(netip.MustParsePrefix("192.0.2.0/26")), text("garbage"))
		}, "unreadable ipam/block/192.0.2.0%2F26"},
		{"an endpoint with an address that is free", func(r *rig) {
			r.write(store.AddressKey(netip.MustParseAddr("10.0.0.77")), text("r/e"))
			r.write(store.AddressKey(netip.MustParseAddr("192.0.2.1")), text("r/outside"))
		}, "not-allocated 10.0.0.77"},
		{"an address without its endpoint", func(r *rig) {
			r.one(Request{Node: "host1", Handle: "e", Owner: Owner{OwnerEndpoint, "r/e"}, IPv4: 1})
		}, "no-endpoint-address 10.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, pool("a=10.0.0.0/24/24"))
			r.one(ask("host1", "h", 1))
			c.damage(r)
			report := r.read().Check(&r.settings.env)
			var got []string
			for _, p := range report.Problems {
				got = append(got, string(p.Kind)+" "+p.Subject)
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("found %s\nwanted %s", text, c.want)
			}
		})
	}
}

// Who holds what is told by name, and of what leaked whether its endpoint is
// there.
func TestCheckNamesOwners(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	key := func(workload string) string {
		return store.ResourceKey("WorkloadEndpoint", "shop", "docker/"+workload+"/eth0")
	}
	for _, workload := range []string{"gone", "there"} {
		r.one(Request{Node: "host1", Handle: workload, Owner: Owner{OwnerEndpoint, key(workload)}, IPv4: 1})
	}
	r.write(store.AddressKey(netip.MustParseAddr("10.0.0.63")), text(key("there")))
	var got []string
	for _, p := range r.read().Check(&r.settings.env).Problems {
		got = append(got, string(p.Kind)+": "+p.Detail)
	}
	want := []string{
		"not-allocated: it is of endpoint shop/docker/there/eth0, and free for others",
		"no-endpoint-address: handle gone holds it: endpoint shop/docker/gone/eth0 is gone, or has none",
		"no-endpoint-address: handle there holds it: endpoint shop/docker/there/eth0 has others",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwanted\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for owner, want := range map[Owner]string{
		{OwnerExternal, ""}: "external",
		{OwnerTunnel, store.ResourceKey("Node", "", "host1")}: "tunnel host1",
	} {
		if owner.String() != want {
			t.Errorf("%+v is told as %q, wanted %q", owner, owner.String(), want)
		}
	}
}

// The report says what a release needs, also after it was written to a file.
func TestReleaseFromReport(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	r.one(Request{Node: "host1", Handle: "e", Owner: Owner{OwnerEndpoint, "r/e"}, IPv4: 1})
	r.one(ask("host1", "kept", 2))
	data, err := json.Marshal(r.read().Check(&r.settings.env))
	if err != nil {
		t.Fatal(err)
	}
	var report Report
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Leaks) != 1 || len(report.Pools) != 1 || report.Pools[0].InUse != 3 || report.Pools[0].Blocks != 1 {
		t.Fatalf("report %s", data)
	}
	leak := report.Leaks[0]
	release := []Release{{Address: leak.Address, Handle: leak.Handle, Sequence: leak.Sequence}}
	if none, err := r.Release(t.Context(), "", release); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	r.consistent()
}

// A block that cannot be read gives nothing, and does not hold up the others.
func TestUnreadableBlockIsPassedBy(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/25/26"))
	a := r.one(ask("host1", "h", 1))
	r.write(store.BlockKey(a.Block), text("garbage"))
	got := r.other().allocate(ask("host1", "i", 65))
	wantShort(t, got, 64, ErrPoolsExhausted)
	for _, b := range got.Allocations {
		if b.Block == a.Block {
			t.Errorf("%s of block %s", b.Address, b.Block)
		}
	}
	if _, err := r.Release(t.Context(), "", []Release{{Address: a.Address}}); err == nil {
		t.Error("released out of it")
	}
}
