package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/policy/policytest"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

const (
	blockA     = "10.0.0.0/26"
	blockALine = "10.0.0.0/26 blackhole proto 121 metric 118"
)

// block writes a claim of host1, as address management does.
func (r *rig) block(cidr, state string) {
	r.t.Helper()
	r.write(claimOp(r.t, "host1", cidr, state))
}

// advertise changes what is told of the pool of IPv4.
func (r *rig) advertise(mode string) {
	r.t.Helper()
	r.put(advertising("four", "10.0.0.0/16", mode))
}

// wantReason compares why a route is there.
func (r *rig) wantReason(prefix, want string) {
	r.t.Helper()
	err := r.agent.Routes(r.t.Context(), pfx(prefix), func(routes []*vrouterv1.Route) error {
		if i := slices.IndexFunc(routes, func(m *vrouterv1.Route) bool { return m.GetPrefix() == prefix }); routes[i].GetReason() != want {
			r.t.Errorf("%s: %q, want %q", prefix, routes[i].GetReason(), want)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestBlockLives walks through the states of a claim: a confirmed one is told,
// its blackhole comes before that and goes after. A drained block is not told,
// but stays a blackhole: who has not heard of that yet still sends packets.
func TestBlockLives(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.advertise("Blocks")
		r.start()
		r.calls.take()
		was := "" // a pending claim is none
		for _, state := range []string{"pending", "confirmed", "pendingDeletion", "confirmed", "", "confirmed", "pendingDeletion", "", "pendingDeletion", "confirmed", "pending"} {
			r.calls.take()
			r.block(blockA, state)
			calls := r.calls.take()
			want := map[[2]string][]string{
				{"", "confirmed"}:                {"create " + blockA, "originate " + blockA},
				{"", "pendingDeletion"}:          {"create " + blockA},
				{"confirmed", "pendingDeletion"}: {"withdraw " + blockA},
				{"confirmed", ""}:                {"withdraw " + blockA, "remove " + blockA},
				{"pendingDeletion", "confirmed"}: {"originate " + blockA},
				{"pendingDeletion", ""}:          {"remove " + blockA},
			}[[2]string{was, strings.TrimSuffix(state, "pending")}]
			if was = strings.TrimSuffix(state, "pending"); !slices.Equal(calls, want) {
				t.Errorf("%q: %q, want %q", state, calls, want)
			}
			switch was {
			case "confirmed":
				r.wantRoutes(blockALine)
				r.wantOwn(blockA + " 100")
			case "pendingDeletion":
				r.wantRoutes(blockALine)
				r.wantOwn()
			default:
				r.wantRoutes()
				r.wantOwn()
			}
		}
		r.write(claimOp(t, "host2", "10.0.1.0/26", "confirmed"))
		r.wantRoutes()
	})
}

// TestAdvertise goes from each mode to each other: what stands for an address
// is told before what stood for it is taken back, and nothing is told twice.
func TestAdvertise(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.kernel.AddLink("w-b")
		r.block(blockA, "confirmed")
		r.start()
		inside := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		borrowed := r.put(endpointObject("b", "host1", "10.0.1.1/32"))
		own := map[string][]string{
			"Endpoints": {"10.0.0.1/32 100", "10.0.1.1/32 100"},
			"Blocks":    {blockA + " 100", "10.0.1.1/32 100"},
			"Both":      {blockA + " 100", "10.0.0.1/32 100", "10.0.1.1/32 100"},
		}
		order := map[[2]string][]string{
			{"Endpoints", "Blocks"}: {"originate " + blockA, "withdraw 10.0.0.1/32"},
			{"Endpoints", "Both"}:   {"originate " + blockA},
			{"Blocks", "Endpoints"}: {"originate 10.0.0.1/32", "withdraw " + blockA},
			{"Blocks", "Both"}:      {"originate 10.0.0.1/32"},
			{"Both", "Endpoints"}:   {"withdraw " + blockA},
			{"Both", "Blocks"}:      {"withdraw 10.0.0.1/32"},
		}
		was := "Endpoints"
		for _, mode := range []string{"Blocks", "Both", "Endpoints", "Both", "Blocks", "Endpoints", "Blocks"} {
			r.calls.take()
			r.advertise(mode)
			r.wantOwn(own[mode]...)
			r.wantRoutes(blockALine, lineA, "10.0.1.1/32 dev w-b proto 118 metric 118")
			calls := slices.DeleteFunc(r.calls.take(), func(c string) bool { return c == "pools 2" || c == "sessions 0" })
			want := order[[2]string{was, mode}]
			if !slices.Equal(calls, want) {
				t.Errorf("%s to %s: %q, want %q", was, mode, calls, want)
			}
			r.wantStage("a", inside, vrouterv1.Stage_STAGE_ADVERTISED, "")
			r.wantStage("b", borrowed, vrouterv1.Stage_STAGE_ADVERTISED, "")
			was = mode
		}
		// An address that comes after its block, or with it, is not told by itself,
		// not even for a moment; a block that goes leaves nobody untold.
		r.calls.take()
		r.block("10.0.2.0/26", "confirmed")
		r.put(endpointObject("b", "host1", "10.0.1.1/32", "10.0.2.9/32"))
		r.wantOwn(blockA+" 100", "10.0.1.1/32 100", "10.0.2.0/26 100")
		wantNone(t, r.calls.take(), "originate 10.0.2.9/32")
		r.put(endpointObject("b", "host1", "10.0.1.1/32"))
		r.block("10.0.2.0/26", "")
		r.write(claimOp(t, "host1", "10.0.2.0/26", "confirmed"), endpointOp(t, "b", "host1", "10.0.1.1/32", "10.0.2.9/32"))
		r.wantOwn(blockA+" 100", "10.0.1.1/32 100", "10.0.2.0/26 100")
		wantNone(t, r.calls.take(), "originate 10.0.2.9/32")
		r.block("10.0.2.0/26", "pendingDeletion")
		r.wantOwn(blockA+" 100", "10.0.1.1/32 100", "10.0.2.9/32 100")
		calls := r.calls.take()
		wantOrder(t, calls, "originate 10.0.2.9/32", "withdraw 10.0.2.0/26")
		wantNone(t, calls, "remove 10.0.2.0/26")
		r.wantReason("10.0.0.1/32", "local endpoint, advertised by its block 10.0.0.0/26")
		r.wantReason("10.0.2.9/32", "local endpoint")
		r.wantReason(blockA, "free addresses of a block of this host")
	})
}

// A pool that is not exported keeps its blocks from peers, and says so.
func TestBlocksOfAPoolThatIsNotExported(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.node2()
		p := r.peer()
		r.advertise("Blocks")
		r.block(blockA, "confirmed")
		r.start()
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		if p.heard(blockA) == 0 || p.heard("10.0.0.1/32") != 0 {
			t.Fatal("the peer has not heard of the block alone")
		}
		pool := advertising("four", "10.0.0.0/16", "Blocks")
		export := true
		pool.Spec.DisableBgpExport = &export
		r.put(pool)
		if p.heard(blockA) != 0 {
			t.Error("the peer still has the block")
		}
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_PROGRAMMED, "its pool is not exported")
		r.advertise("Blocks")
		if p.heard(blockA) == 0 {
			t.Error("the peer has not heard of the block again")
		}
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
	})
}

// A block whose blackhole is not in the kernel is not told; the addresses in it
// are, in every mode.
func TestBlockOfAStranger(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.advertise("Blocks")
		r.start()
		stranger := fib.Entry{
			Prefix: pfx(blockA), Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: 4,
			Hops: []fib.Hop{{Index: r.kernel.Index("up0")}},
		}
		r.kernel.Interfere(fib.Change{Op: fib.Create, Entry: stranger})
		r.block(blockA, "confirmed")
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.pass(time.Second) // the collision had the table pause
		r.wantOwn("10.0.0.1/32 100")
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
		if s, _ := r.agent.Status(t.Context()); !strings.Contains(strings.Join(s.GetProblems(), ""), "block 10.0.0.0/26: protocol 4") {
			t.Errorf("the status does not name the stranger: %q", s.GetProblems())
		}
		r.calls.take()
		r.kernel.Interfere(fib.Change{Op: fib.Delete, Entry: stranger})
		r.pass(time.Second)
		r.wantOwn(blockA + " 100")
		r.kernel.Interfere(fib.Change{Op: fib.Replace, Entry: stranger})
		r.pass(time.Second)
		r.wantOwn("10.0.0.1/32 100")
		wantOrder(t, r.calls.take(), "originate "+blockA, "withdraw 10.0.0.1/32", "originate 10.0.0.1/32", "withdraw "+blockA)
	})
}

// The one address of a block is told as its workload has it; a peer that has
// borrowed it counts before the blackhole.
func TestBlockOfOneAddress(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.node2()
		p := r.peer()
		r.advertise("Blocks")
		r.block("10.0.0.1/32", "confirmed")
		r.start()
		r.wantRoutes("10.0.0.1/32 blackhole proto 121 metric 118")
		r.wantOwn()
		p.originate("10.0.0.1/32")
		r.wantRoutes("10.0.0.1/32 group(via 192.0.2.2 dev up0) proto 120 metric 118")
		p.withdraw("10.0.0.1/32")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantRoutes(lineA)
		r.wantOwn("10.0.0.1/32 100")
		r.delete(endpointObject("a", "host1"))
		r.wantRoutes("10.0.0.1/32 blackhole proto 121 metric 118")
		r.wantOwn()
		r.block("10.0.0.1/32", "")
		r.wantRoutes()
	})
}

// An address in a block is told by itself as long as its former home tells it,
// whose path is the more specific one.
func TestMigrationIntoABlock(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.node2()
		p := r.peer()
		p.originate("10.0.0.1/32")
		r.advertise("Blocks")
		r.block(blockA, "confirmed")
		r.start()
		r.wantOwn(blockA + " 100")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantOwn(blockA+" 100", "10.0.0.1/32 2147483135")
		p.withdraw("10.0.0.1/32")
		r.wantOwn(blockA + " 100")
		// Wrong, or late: it is met whenever it comes.
		p.originate("10.0.0.1/32")
		r.wantOwn(blockA+" 100", "10.0.0.1/32 2147483135")
		p.withdraw("10.0.0.1/32")
		r.wantOwn(blockA + " 100")
		r.delete(endpointObject("a", "host1"))
		if n := len(r.agent.learned.watched); n > 0 {
			t.Errorf("%d prefixes are watched", n)
		}
	})
}

// The new owner of a block has it at once, whatever its former owner tells.
func TestBlockChangesHands(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.node2()
		p := r.peer()
		p.originate(blockA)
		r.advertise("Blocks")
		r.start()
		r.wantRoutes("10.0.0.0/26 group(via 192.0.2.2 dev up0) proto 120 metric 118")
		r.block(blockA, "confirmed")
		r.wantRoutes(blockALine)
		r.wantOwn(blockA + " 2147483135")
		p.withdraw(blockA)
		r.wantOwn(blockA + " 100")
		r.block(blockA, "")
		p.originate(blockA)
		r.wantRoutes("10.0.0.0/26 group(via 192.0.2.2 dev up0) proto 120 metric 118")
	})
}

// TestBlackholesAreSwept: blackholes of an earlier run go once the
// store has told everything, however long peers are silent; a start from the
// copy keeps them, and tells peers of the blocks that the copy has.
func TestBlackholesAreSwept(t *testing.T) {
	for _, away := range []bool{false, true} {
		withRig(t, func(t *testing.T, r *rig) {
			for _, prefix := range []string{blockA, "10.0.7.0/26"} {
				r.kernel.Interfere(fib.Change{Op: fib.Create, Entry: fib.Entry{
					Prefix: pfx(prefix), Table: fib.DefaultTable, Metric: fib.DefaultMetric,
					Protocol: fib.DefaultProtocol + 3, Kind: fib.KindBlackhole,
				}})
			}
			r.left()
			r.node2()
			p := r.peer()
			r.advertise("Blocks")
			r.block(blockA, "confirmed")
			c := r.copy()
			if away {
				r.client.Disconnect()
			} else {
				c = store.Copy{}
			}
			r.start(func(o *Options) {
				o.Copy = c
				o.Speaker.(*recorder).silent.Store(true)
			})
			r.pass(10 * time.Second)
			if p.heard(blockA) == 0 {
				t.Fatal("the peer has not heard of the block")
			}
			calls := r.calls.take()
			wantOrder(t, calls, "start 64512 192.0.2.1 restarting true", "originate "+blockA, "sessions 1")
			wantNone(t, calls, "create "+blockA, "replace "+blockA, "remove "+blockA)
			unowned := "10.0.7.0/26 blackhole proto 121 metric 118"
			if away {
				r.wantRoutes(blockALine, unowned, leftWorkloadLine, leftLearnedLine)
				r.client.Reconnect()
				r.pass(10 * time.Second)
			}
			r.wantRoutes(blockALine, leftLearnedLine)
			r.pass(time.Hour)
			r.wantRoutes(blockALine)
		})
	}
}

// A store that is not the one that the host knew takes no block away, and gives
// none, until it is adopted.
func TestBlocksOfAForeignStore(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.advertise("Blocks")
		r.block(blockA, "confirmed")
		r.start()
		r.calls.take()
		r.store.Wipe()
		r.put(poolObject("four", "10.0.0.0/16"))
		r.block("10.0.5.0/26", "confirmed")
		r.pass(time.Minute)
		r.wantRoutes(blockALine)
		r.wantOwn(blockA + " 100")
		wantNone(t, r.calls.take(), "withdraw", "originate", "remove", "create")
		if _, adopted, err := r.agent.feed.Adopt(t.Context()); err != nil || !adopted {
			t.Fatalf("adopted %t, %v", adopted, err)
		}
		r.pass(time.Minute)
		r.wantRoutes("10.0.5.0/26 blackhole proto 121 metric 118")
		r.wantOwn()
	})
}

// The route of before to the one address of a block stands until its endpoint
// is policed again: no blackhole takes its place.
func TestBlockOfOneAddressAwaitsPolicy(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		filter := policytest.NewMemory()
		r.kernel.AddLink("w-a")
		r.block("10.0.0.1/32", "confirmed")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start(policed(filter))
		r.wantRoutes(lineA)
		r.end()
		r.calls.take()
		filter.Refuse(errors.New("operation not permitted"))
		r.start(policed(filter))
		r.pass(time.Minute)
		r.wantRoutes(lineA)
		filter.Refuse(nil)
		r.pass(time.Minute)
		r.wantRoutes(lineA)
		r.wantOwn("10.0.0.1/32 100")
		wantNone(t, r.calls.take(), "create", "replace", "remove")
	})
}

// sluggish is a kernel that takes a second for each change.
type sluggish struct{ fib.Kernel }

func (k sluggish) Apply(ctx context.Context, changes []fib.Change) []error {
	time.Sleep(time.Second)
	return k.Kernel.Apply(ctx, changes)
}

// Blocks are told before End-of-RIB, however long the kernel takes.
func TestBlocksBeforePeers(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.host = sluggish{r.kernel}
		r.node2()
		r.peer()
		r.advertise("Both")
		r.block(blockA, "confirmed")
		r.start()
		r.pass(time.Minute)
		wantOrder(t, r.calls.take(), "originate "+blockA, "sessions 1")
	})
}

// A block that the speaker refuses is told by its addresses, and tried again.
func TestBlockIsRefused(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.advertise("Blocks")
		r.start()
		prefix := pfx(blockA)
		r.hears.refused.Store(&prefix)
		r.block(blockA, "confirmed")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantOwn("10.0.0.1/32 100")
		r.hears.refused.Store(nil)
		r.pass(2 * longPause)
		r.wantOwn(blockA + " 100")
	})
}

// A blackhole that others remove is put back, and peers hear of nothing.
func TestRepairOfABlockIsSilent(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.advertise("Blocks")
		r.block(blockA, "confirmed")
		r.start()
		r.host = sluggish{r.kernel}
		r.start()
		r.pass(time.Minute)
		r.calls.take()
		for range 5 {
			r.kernel.Interfere(fib.Change{Op: fib.Delete, Entry: fib.Entry{
				Prefix: pfx(blockA), Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: fib.DefaultProtocol + 3, Kind: fib.KindBlackhole,
			}})
			r.pass(time.Minute)
			r.wantRoutes(blockALine)
		}
		wantNone(t, r.calls.take(), "withdraw", "originate")
	})
}

// An address that waits for its block is told at once when the kernel refuses
// the block.
func TestBlockIsAwaitedInVain(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.kernel.Refuse(func(c fib.Change) error {
			if c.Object == nil && c.Entry.Prefix == pfx(blockA) {
				return fibtest.ErrInvalid
			}
			return nil
		})
		r.host = sluggish{r.kernel}
		r.advertise("Blocks")
		r.start()
		r.pass(time.Minute)
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.block(blockA, "confirmed") // while the kernel is at the route
		r.pass(longPause / 2)
		r.wantOwn("10.0.0.1/32 100")
	})
}
