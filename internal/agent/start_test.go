package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// wantOrder says that calls that begin with these words came, in this order.
func wantOrder(t *testing.T, calls []string, words ...string) {
	t.Helper()
	at := 0
	for _, w := range words {
		i := slices.IndexFunc(calls[at:], func(c string) bool { return strings.HasPrefix(c, w) })
		if i < 0 {
			t.Fatalf("no %q in its place: %q", w, calls)
		}
		at += i
	}
}

// wantNone says that no call begins with any of these words.
func wantNone(t *testing.T, calls []string, words ...string) {
	t.Helper()
	for _, w := range words {
		if slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, w) }) {
			t.Fatalf("%q among %q", w, calls)
		}
	}
}

const lineA = "10.0.0.1/32 dev w-a proto 118 metric 118"

// TestStartOrder starts with routes of an earlier run in the kernel: BGP is
// told that we restart; the endpoint is programmed, then originated, then
// peers are spoken to; each source is swept by itself, and not before it has
// said all.
func TestStartOrder(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.put(endpointObject("b", "host1", "10.0.0.2/32")) // whose interface is missing
		r.node2()
		r.start()
		calls := r.calls.take()
		wantOrder(t, calls, "start 64512 192.0.2.1 restarting true", "pools 2", "prepare w-a", "create 10.0.0.1/32",
			"originate 10.0.0.1/32", "sessions 1")
		wantNone(t, calls[:slices.Index(calls, "sessions 1")], "remove "+leftLearned, "sessions", "originate 10.0.0.2/32")
		r.wantRoutes(lineA, leftLearnedLine) // the store has told every workload, no peer what it knows
		r.wantNotReady()

		p := r.peer()
		p.originate("10.0.3.3/32")
		r.pass(2 * time.Second)
		r.wantRoutes(lineA, "10.0.3.3/32 group(via 192.0.2.2 dev up0) proto 120 metric 118")
	})
}

// What a peer tells before the sweep replaces what was left without a gap.
func TestLearnedRoutesAreAdopted(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.node2()
		p := r.peer()
		p.originate(leftLearned)
		r.start()
		r.pass(time.Minute)
		r.wantRoutes("10.0.9.9/32 group(via 192.0.2.2 dev up0) proto 120 metric 118")
		wantNone(t, r.calls.take(), "remove "+leftLearned)
	})
}

func TestSweepWaitsForEndOfRIB(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.node2()
		r.peer()
		r.start(func(o *Options) { o.Speaker.(*recorder).silent.Store(true) })
		r.pass(100 * time.Second)
		if s := r.speaker.Peers()[0]; s.State.String() != "Established" {
			t.Fatalf("session is %s", s.State)
		}
		r.wantRoutes(leftLearnedLine)
		r.hears.silent.Store(false)
		r.pass(2 * time.Second)
		r.wantRoutes()
	})
}

// A peer that never comes is waited for no longer than the restart time.
func TestSweepAfterTheLimit(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.node2()
		r.start()
		r.pass(118 * time.Second)
		r.wantRoutes(leftLearnedLine)
		r.pass(4 * time.Second)
		r.wantRoutes()
	})
}

// Started while the store is away the agent works from the copy, and removes
// nothing, however long that takes.
func TestStartFromTheCopy(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.node2()
		p := r.peer()
		c := r.copy()
		r.client.Disconnect()
		r.start(func(o *Options) { o.Copy = c })
		wantNone(t, r.calls.take(), "start")
		r.pass(10 * time.Minute)
		calls := r.calls.take()
		wantOrder(t, calls, "start", "pools", "create 10.0.0.1/32", "originate 10.0.0.1/32", "sessions 1")
		wantNone(t, calls, "remove")
		r.wantRoutes(lineA, leftWorkloadLine, leftLearnedLine)
		if p.heard("10.0.0.1/32") == 0 {
			t.Fatal("not originated from the copy")
		}
		r.wantNotReady(conditionNode, conditionStore, conditionSynced)
		if reason := r.condition(conditionSynced).Reason; !strings.Contains(reason, "local copy") {
			t.Errorf("reason %q does not name the copy", reason)
		}
		r.client.Reconnect()
		r.pass(time.Minute)
		r.wantNotReady()
		r.wantRoutes(lineA)
	})
}

// The copy is no proof that an endpoint is still there, the store is.
func TestCopyIsCorrectedByTheStore(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		for _, l := range []string{"w-a", "w-b", "w-z"} {
			r.kernel.AddLink(l)
		}
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.put(endpointObject("z", "host1", "10.0.0.2/32"))
		c := r.copy()
		r.start(func(o *Options) { o.Copy = c })
		r.client.Disconnect()
		r.end()
		r.delete(endpointObject("z", "host1"))
		r.put(endpointObject("b", "host1", "10.0.0.2/32")) // has the address now
		r.put(endpointObject("a", "host2", "10.0.0.1/32"))
		r.start(func(o *Options) { o.Copy = c })
		r.pass(4 * time.Second)
		r.wantRoutes(lineA, "10.0.0.2/32 dev w-z proto 118 metric 118")
		r.client.Reconnect()
		r.pass(time.Minute)
		r.wantRoutes("10.0.0.2/32 dev w-b proto 118 metric 118")
		r.wantOwn("10.0.0.2/32 100")
	})
}

func TestStartWithPeersOfTheConfigurationAlone(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.node2()
		p := r.peer()
		r.client.Disconnect()
		r.start(func(o *Options) {
			o.BGP.Peers = []*resource.BGPPeer{{
				Meta: resource.Meta{ID: resource.ID{Kind: resource.KindBGPPeer, Name: "tor"}}, PeerIP: pfx(addr2 + "/32").Addr(),
				ASNumber: resource.DefaultASNumber,
			}}
		})
		r.pass(10 * time.Minute)
		if len(p.Peers()) != 1 || p.Peers()[0].State.String() != "Established" {
			t.Fatalf("no session: %s", p)
		}
		r.wantRoutes(leftWorkloadLine, leftLearnedLine)
	})
}

func TestStartWithNothingWaits(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.client.Disconnect()
		r.start()
		r.pass(10 * time.Minute)
		if calls := r.calls.take(); len(calls) > 0 {
			t.Fatalf("without store and copy: %q", calls)
		}
		r.wantNotReady(conditionNode, conditionStarted, conditionStore, conditionSynced)
		r.client.Reconnect()
		r.pass(time.Minute)
		r.wantNotReady()
	})
}

// A store that is not ours tells us nothing, and is told nothing.
func TestForeignStoreAtTheStart(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		c := r.copy()
		r.store.Wipe()
		before, _ := r.store.Revision(t.Context())
		r.start(func(o *Options) { o.Copy = c })
		r.pass(10 * time.Minute)
		r.wantRoutes(lineA, leftWorkloadLine, leftLearnedLine)
		r.wantNotReady(conditionNode, conditionStore, conditionSynced)
		if after, _ := r.store.Revision(t.Context()); after != before {
			t.Fatalf("a foreign store was written to: revision %d, was %d", after, before)
		}
		r.adopt()
		r.wantNotReady()
		r.wantRoutes() // the operator has said so: the store has no endpoint
		if !r.read(&vrouterv1.Node{Metadata: named("host1")}) {
			t.Error("the node is not in the store that was adopted")
		}
	})
}

func (r *rig) adopt() {
	r.t.Helper()
	if answer, err := r.agent.Adopt(r.t.Context()); err != nil || !answer.Adopted {
		r.t.Fatalf("adopted %t, %v", answer.GetAdopted(), err)
	}
	r.pass(time.Minute)
}

func TestForeignStoreLater(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.kernel.AddLink("w-b")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start()
		backup := r.store.Backup()
		r.put(endpointObject("b", "host1", "10.0.0.2/32"))
		r.pass(time.Minute)
		r.store.Restore(backup)
		r.pass(10 * time.Minute)
		both := []string{lineA, "10.0.0.2/32 dev w-b proto 118 metric 118"}
		r.wantRoutes(both...)
		r.wantNotReady(conditionStore)
		r.adopt()
		r.wantNotReady()
		r.wantRoutes(lineA)
		if answer, err := r.agent.Adopt(t.Context()); err != nil || answer.Adopted {
			t.Errorf("adopted again: %t, %v", answer.GetAdopted(), err)
		}
	})
}

// A watch that breaks and begins anew tells no deletion: the snapshot decides.
func TestWatchBeginsAnew(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start()
		backup := r.store.Backup()
		r.store.Wipe()
		r.pass(time.Minute)
		r.wantNotReady(conditionStore)
		r.store.Restore(backup) // it was a mistake
		r.delete(endpointObject("a", "host1"))
		r.pass(time.Minute)
		r.wantNotReady()
		r.wantRoutes()
	})
}

// Losing the store later changes nothing, and shows.
func TestStoreIsLostLater(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start()
		r.pass(time.Second)
		live := store.LiveKey(RoleAgent, "host1")
		if _, _, err := r.store.Get(t.Context(), live); err != nil {
			t.Fatal(err)
		}
		r.calls.take()
		r.client.Disconnect()
		r.pass(10 * time.Minute)
		wantNone(t, r.calls.take(), "remove", "withdraw", "sessions", "pools")
		r.wantNotReady()
		if reason := r.condition(conditionStore).Reason; !strings.Contains(reason, "changes wait") {
			t.Errorf("the condition of the store says %q", reason)
		}
		if _, answers := r.agent.feed.Lag(); answers {
			t.Error("the store answers although it is away")
		}
		if _, _, err := r.store.Get(t.Context(), live); err == nil {
			t.Error("the lease has not run out")
		}
		r.client.Reconnect()
		r.pass(time.Minute)
		if _, _, err := r.store.Get(t.Context(), live); err != nil {
			t.Errorf("the lease was not taken again: %v", err)
		}
		if _, answers := r.agent.feed.Lag(); !answers || r.condition(conditionStore).Reason != "" || r.condition(conditionNode).Reason != "" {
			t.Errorf("back, but: %v, %v", r.condition(conditionStore), r.condition(conditionNode))
		}
	})
}

// The node speaks from its own Node as the API and the configuration made it,
// not as it was before.
func TestRouterIDOfAFreshNode(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		api := nodeObject("host1", "192.0.2.77/24")
		api.Spec.Bgp.Ipv4Address = nil
		api.Metadata.Labels = map[string]string{"rack": "1"}
		r.put(api)
		r.start()
		wantOrder(t, r.calls.take(), "start 64512 192.0.2.1")
	})
}

func TestReflectorTouchesNoRoute(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.node2()
		p := r.peer()
		p.originate("10.0.3.3/32")
		r.start(func(o *Options) {
			o.Table, o.Interfaces = nil, nil
			o.Identity.Role = RoleReflector
			o.Identity.Configured.ClusterID = pfx("192.0.2.1/32").Addr()
			o.BGP.Peers = []*resource.BGPPeer{{
				Meta: resource.Meta{ID: resource.ID{Kind: resource.KindBGPPeer, Name: "host2"}}, PeerIP: pfx(addr2 + "/32").Addr(),
				ASNumber: resource.DefaultASNumber,
			}}
		})
		r.pass(time.Minute)
		r.wantNotReady()
		r.wantRoutes()
		if n := r.kernel.Writes(); n > 0 {
			t.Errorf("%d writes to the kernel", n)
		}
		status, err := r.agent.Status(t.Context())
		if err != nil || status.Role != RoleReflector || len(status.Peers) != 1 || status.Peers[0].PrefixesAccepted != 1 {
			t.Errorf("status %v, %v", status, err)
		}
		err = r.agent.Routes(t.Context(), pfx("10.0.0.0/8"), func(routes []*vrouterv1.Route) error {
			if len(routes) != 1 || routes[0].Reason != "best of 1 paths" && routes[0].Programmed {
				t.Errorf("routes %v", routes)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		node := &vrouterv1.Node{Metadata: named("host1")}
		if !r.read(node) || node.Spec.Bgp.GetRouteReflectorClusterId() != "192.0.2.1" {
			t.Errorf("node %v", node)
		}
	})
}
