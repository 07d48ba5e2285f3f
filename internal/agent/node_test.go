package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// own reads the agent's Node.
func (r *rig) own() *vrouterv1.Node {
	r.t.Helper()
	n := &vrouterv1.Node{Metadata: named("host1")}
	if !r.read(n) {
		r.t.Fatal("there is no Node")
	}
	return n
}

func TestNodeIsMade(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.start(func(o *Options) {
			o.Identity.Configured.ASNumber = 65001
			o.Identity.Configured.Labels = map[string]string{"rack": "a"}
		})
		want := &vrouterv1.NodeBGPSpec{
			Ipv4Address: proto.String("192.0.2.1/24"), Ipv6Address: proto.String("2001:db8::1/64"),
			AsNumber: structpb.NewNumberValue(65001),
		}
		n := r.own()
		if diff := cmp.Diff(want, n.Spec.Bgp, protocmp.Transform()); diff != "" || n.Metadata.Labels["rack"] != "a" {
			t.Errorf("labels %v (-want +got):\n%s", n.Metadata.Labels, diff)
		}
		for _, msg := range []proto.Message{
			&vrouterv1.BGPConfiguration{Metadata: named("default")},
			&vrouterv1.ClusterInformation{Metadata: named("default")},
		} {
			if !r.read(msg) {
				t.Errorf("there is no %T", msg)
			}
		}
		wantOrder(t, r.calls.take(), "start 65001")
	})
}

// What stands in the configuration is restored at the start, what the API gave
// stays, and nothing is written when nothing changes.
func TestNodeFields(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		configure := func(o *Options) { o.Identity.Configured.Labels = map[string]string{"rack": "a"} }
		r.start(configure)
		n := r.own()
		n.Spec.Bgp.Ipv4Address = proto.String("192.0.2.99/24")
		n.Spec.Bgp.AsNumber = structpb.NewNumberValue(65007)
		n.Metadata.Labels["rack"], n.Metadata.Labels["owner"] = "z", "ops"
		r.put(n)
		if got := r.own().Spec.Bgp.GetIpv4Address(); got != "192.0.2.99/24" {
			t.Fatalf("address %s: restored before the start", got)
		}
		r.start(configure)
		n = r.own()
		if n.Spec.Bgp.GetIpv4Address() != "192.0.2.1/24" || n.Metadata.Labels["rack"] != "a" {
			t.Errorf("fields of the configuration were not restored: %v", n)
		}
		if n.Spec.Bgp.AsNumber.GetNumberValue() != 65007 || n.Metadata.Labels["owner"] != "ops" {
			t.Errorf("fields of the API were taken away: %v", n)
		}
		before, _, _ := r.store.Get(t.Context(), keyOf(n))
		r.start(configure)
		if after, _, _ := r.store.Get(t.Context(), keyOf(n)); after.ModRevision != before.ModRevision {
			t.Error("written again without a change")
		}
	})
}

// The Node lists the host's interfaces, whatever people write there, and nothing
// else of it is touched for that.
func TestNodeInterfaces(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.start(func(o *Options) { o.Identity.Configured.Labels = map[string]string{"rack": "a"} })
		listed := func(what string, want ...string) {
			t.Helper()
			r.pass(0)
			var got []string
			for _, link := range r.own().Spec.Interfaces {
				got = append(got, link.GetName()+" "+strings.Join(link.Addresses, " "))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		listed("before they are known")
		eth0 := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
		r.agent.SetInterfaces(map[string][]netip.Addr{"eth1": {netip.MustParseAddr("198.51.100.1")}, "eth0": eth0, "bad\xff": {netip.MustParseAddr("192.0.2.9")}})
		listed("known", "eth0 192.0.2.1 2001:db8::1", "eth1 198.51.100.1")
		n := r.own()
		n.Spec.Interfaces, n.Metadata.Labels["rack"] = nil, "z"
		r.put(n)
		listed("written by people", "eth0 192.0.2.1 2001:db8::1", "eth1 198.51.100.1")
		if rack := r.own().Metadata.Labels["rack"]; rack != "z" {
			t.Errorf("label restored before the start: %s", rack)
		}
		r.agent.SetInterfaces(nil)
		listed("none any more")
		many := make(map[string][]netip.Addr)
		for i := range 2 * mostLinks {
			many[fmt.Sprintf("vlan%d", i)] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		}
		r.agent.SetInterfaces(many)
		r.pass(0)
		if got := len(r.own().Spec.Interfaces); got != mostLinks {
			t.Errorf("%d are listed", got)
		}
	})
}

// Which address wins: configured, given by the API, found.
func TestNodeAddress(t *testing.T) {
	stored := proto.String("192.0.2.7/24")
	var none netip.Prefix
	for _, c := range []struct {
		name                 string
		stored               *string
		configured, detected netip.Prefix
		has                  bool
		want                 string
	}{
		{"configured wins", stored, pfx("192.0.2.1/24"), none, true, "192.0.2.1/24"},
		{"given by the API", stored, none, pfx("192.0.2.1/24"), true, "192.0.2.7/24"},
		{"no address of this host any longer", stored, none, pfx("192.0.2.1/24"), false, "192.0.2.1/24"},
		{"nothing was found", stored, none, none, false, "192.0.2.7/24"},
		{"found", nil, none, pfx("192.0.2.1/24"), false, "192.0.2.1/24"},
		{"nothing", nil, none, none, false, ""},
	} {
		id := Identity{HasAddress: func(netip.Addr) bool { return c.has }}
		got := id.address(c.stored, c.configured, c.detected)
		if c.want == "" && got != nil || c.want != "" && (got == nil || *got != c.want) {
			t.Errorf("%s: got %v, want %q", c.name, got, c.want)
		}
	}
}

func TestNameIsHeldByAnotherHost(t *testing.T) {
	for _, role := range []string{RoleAgent, RoleReflector} {
		withRig(t, func(t *testing.T, r *rig) {
			r.kernel.AddLink("w-a")
			r.put(endpointObject("a", "host1", "10.0.0.1/32"))
			c := r.copy()
			other, err := r.store.Grant(t.Context(), 15*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			value, _ := json.Marshal(Live{HostID: "id-2", APIAddress: "192.0.2.9:5000"})
			key := store.LiveKey(role, "host1")
			r.write(store.Op{Key: key, Value: value, Lease: other.ID()})
			r.start(func(o *Options) { o.Copy = c })
			r.pass(10 * time.Minute)
			// The copy is no reason to take the other host's routes either.
			wantNone(t, r.calls.take(), "start", "create", "originate")
			r.wantNotReady(conditionNode, conditionStarted, conditionSynced)
			if reason := r.condition(conditionNode).Reason; !strings.Contains(reason, "id-2") || !strings.Contains(reason, "192.0.2.9:5000") {
				t.Errorf("the reason %q does not name the other host", reason)
			}
			if kv, _, err := r.store.Get(t.Context(), key); err != nil || string(kv.Value) != string(value) {
				t.Errorf("the other's key is %s, %v", kv.Value, err)
			}
			if err := other.Revoke(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.pass(time.Minute)
			r.wantNotReady()
			r.wantRoutes(lineA)
		})
	}
}

// The name that was lost with the lease may be another's when we are back: that
// turns the node red, and stops nothing.
func TestNameIsTakenMeanwhile(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start()
		r.client.Disconnect()
		r.pass(time.Minute)
		value, _ := json.Marshal(Live{HostID: "id-2"})
		r.write(store.Op{Key: store.LiveKey(RoleAgent, "host1"), Value: value})
		r.client.Reconnect()
		r.pass(time.Minute)
		r.wantNotReady(conditionNode)
		r.wantRoutes(lineA)
		r.wantOwn("10.0.0.1/32 100")
	})
}

// A daemon that comes back within its lease was never away.
func TestLeaseIsTakenOver(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		key := store.LiveKey(RoleAgent, "host1")
		r.start()
		r.start(func(o *Options) { o.Identity.BootID = "boot-2" })
		r.pass(time.Hour)
		var live Live
		kv, _, err := r.store.Get(t.Context(), key)
		if err != nil || json.Unmarshal(kv.Value, &live) != nil || live.BootID != "boot-2" || live.HostID != "id-1" {
			t.Errorf("live key %s, %v", kv.Value, err)
		}
	})
}

// While the datastore is locked a host that is known restarts as it was, and
// what would have been written of it waits; one that is not known cannot join.
func TestLockedStoreKeepsNodes(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		lock := func(locked bool) {
			info := &vrouterv1.ClusterInformation{Metadata: named("default")}
			info.Spec = &vrouterv1.ClusterInformationSpec{DatastoreReady: proto.Bool(!locked)}
			r.put(info)
		}
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.kernel.AddLink("w-a")
		r.start()
		stands := r.routes()
		if !strings.Contains(stands, "10.0.0.1") {
			t.Fatalf("the kernel has %s", stands)
		}
		lock(true)
		before, err := r.store.Revision(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.start(func(o *Options) { o.Identity.Configured.Labels = map[string]string{"rack": "a"} })
		r.pass(time.Minute)
		if ready, conditions := r.health.Ready(); !ready {
			t.Errorf("not ready: %v", conditions)
		}
		if r.own().Metadata.Labels["rack"] != "" {
			t.Error("the Node was written while the datastore was locked")
		}
		if after := r.routes(); after != stands {
			t.Errorf("the kernel was %s\nis %s", stands, after)
		}
		for _, prefix := range []string{store.ResourcePrefix, store.AddressPrefix, "ipam/"} {
			page, err := r.store.List(t.Context(), prefix, store.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, kv := range page.KVs {
				if kv.ModRevision > before {
					t.Errorf("%s was written while the datastore was locked", kv.Key)
				}
			}
		}
		lock(false)
		r.pass(2 * longPause)
		if r.own().Metadata.Labels["rack"] != "a" {
			t.Error("the Node was not written after the datastore was unlocked")
		}

		lock(true)
		r.start(func(o *Options) { o.Identity.Name = "host9" })
		r.pass(time.Minute)
		if ready, _ := r.health.Ready(); ready {
			t.Error("a host joined a locked datastore")
		}
		lock(false)
		r.pass(2 * longPause)
		if ready, conditions := r.health.Ready(); !ready {
			t.Errorf("not ready after the datastore was unlocked: %v", conditions)
		}
	})
}
