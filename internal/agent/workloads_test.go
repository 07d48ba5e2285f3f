package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// wantStage compares how far an endpoint has come, for a revision.
func (r *rig) wantStage(workload string, revision int64, stage vrouterv1.Stage, problem string) {
	r.t.Helper()
	p, ok := r.agent.stages.get(idOf(workload))
	all := strings.Join(p.Problems, "\n")
	if !ok || p.Revision != revision || p.Stage() != stage || (problem == "") != (all == "") || !strings.Contains(all, problem) {
		r.t.Fatalf("endpoint %s, known %t: %+v, want %s at %d with problem %q", workload, ok, p, stage, revision, problem)
	}
}

func TestEndpointLives(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start()
		r.calls.take()

		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32", "fd10::1/128"))
		r.wantRoutes(lineA, "fd10::1/128 dev w-a proto 118 metric 118")
		r.wantOwn("10.0.0.1/32 100", "fd10::1/128 100")
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
		wantOrder(t, r.calls.take(), "prepare w-a veth", "create 10.0.0.1/32", "originate 10.0.0.1/32")

		// An address leaves and another comes: what stays is not touched.
		revision = r.put(endpointObject("a", "host1", "10.0.0.1/32", "10.0.0.9/32"))
		r.wantRoutes(lineA, "10.0.0.9/32 dev w-a proto 118 metric 118")
		r.wantOwn("10.0.0.1/32 100", "10.0.0.9/32 100")
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
		r.pass(time.Second)
		calls := r.calls.take()
		wantOrder(t, calls, "withdraw fd10::1/128", "remove fd10::1/128", "forget fd10::1")
		wantNone(t, calls, "forget 10.", "withdraw 10.", "originate 10.0.0.1/32", "replace 10.0.0.1/32")

		// It moves away.
		r.put(endpointObject("a", "host2", "10.0.0.1/32"))
		r.wantRoutes()
		r.wantOwn()
		if _, ok := r.agent.stages.get(idOf("a")); ok {
			t.Error("its progress is still known")
		}
		r.pass(time.Second)
		wantOrder(t, r.calls.take(), "withdraw 10.0.0.", "remove 10.0.0.", "forget 10.0.0.")

		// It comes back, and is deleted.
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantRoutes(lineA)
		r.delete(endpointObject("a", "host1"))
		r.wantRoutes()
		r.wantOwn()
	})
}

func TestInterfaceComesLater(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.start()
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantRoutes()
		r.wantOwn()
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_REGISTERED, "interface w-a is missing")
		r.calls.take()
		r.kernel.AddLink("w-a")
		r.ifs.appear("w-a")
		r.pass(0)
		r.wantRoutes(lineA)
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
		wantOrder(t, r.calls.take(), "prepare w-a")
		r.kernel.DeleteLink("w-a")
		r.pass(0)
		r.wantOwn()
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_REGISTERED, "interface w-a is missing")
		r.kernel.AddLink("w-a")
		r.ifs.appear("w-a")
		r.pass(0)
		r.wantOwn("10.0.0.1/32 100")
	})
}

// While its interface is missing the packets of an endpoint still go to where
// a peer has it, and we do not say that we do.
func TestLearnedRouteServesMeanwhile(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.node2()
		r.peer().originate("10.0.0.1/32")
		r.start()
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantRoutes("10.0.0.1/32 group(via 192.0.2.2 dev up0) proto 120 metric 118")
		r.wantOwn()
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_REGISTERED, "interface w-a is missing")
	})
}

// An interface that cannot be prepared is tried again.
func TestInterfaceIsTroubled(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start()
		r.ifs.setBroken("w-a", errors.New("read-only file system"))
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_REGISTERED, "read-only file system")
		r.wantOwn("10.0.0.1/32 100") // the kernel forwards
		r.ifs.setBroken("w-a", nil)
		r.pass(10 * time.Second)
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
		r.calls.take()
		r.pass(time.Hour)
		wantNone(t, r.calls.take(), "prepare")
	})
}

func TestStrangerHoldsTheSlot(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start()
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		stranger := fib.Entry{
			Prefix: pfx("10.0.0.1/32"), Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: 4,
			Hops: []fib.Hop{{Index: r.kernel.Index("up0")}},
		}
		r.kernel.Interfere(fib.Change{Op: fib.Replace, Entry: stranger})
		r.pass(time.Second)
		r.wantRoutes("10.0.0.1/32 dev up0 proto 4 metric 118")
		r.wantOwn()
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_REGISTERED, "protocol 4 holds metric 118")
		r.pass(2 * time.Second)
		if s := r.status("a"); !strings.Contains(strings.Join(s.GetProblems(), ""), "protocol 4") {
			t.Errorf("the status does not name the stranger: %v", s)
		}
		r.kernel.Interfere(fib.Change{Op: fib.Delete, Entry: stranger})
		r.pass(time.Second)
		r.wantRoutes(lineA)
		r.wantOwn("10.0.0.1/32 100")
	})
}

// A route that others remove is put back, and nobody else hears of it.
func TestRepairIsSilent(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start()
		r.calls.take()
		for range 20 {
			r.kernel.Interfere(fib.Change{Op: fib.Delete, Entry: fib.Entry{
				Prefix: pfx("10.0.0.1/32"), Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: fib.DefaultProtocol,
			}})
			r.pass(0)
			r.wantRoutes(lineA)
		}
		wantNone(t, r.calls.take(), "withdraw", "originate")
	})
}

// A route that the kernel refuses is not advertised.
func TestKernelRefuses(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.kernel.Refuse(func(fib.Change) error { return fibtest.ErrInvalid })
		r.start()
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantOwn()
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_REGISTERED, "invalid argument")
		r.kernel.Refuse(nil)
		r.pass(time.Minute)
		r.wantOwn("10.0.0.1/32 100")
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
	})
}

// Two endpoints with one address, which the API never makes: the one written
// last has it whatever came first, and who stays has it when the other goes.
func TestTwoEndpointsWantAnAddress(t *testing.T) {
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s first, restart %t", order[0], restart), func(t *testing.T) {
				withRig(t, func(t *testing.T, r *rig) {
					r.kernel.AddLink("w-a")
					r.kernel.AddLink("w-b")
					r.start()
					loser := r.put(endpointObject(order[0], "host1", "10.0.0.1/32"))
					winner := r.put(endpointObject(order[1], "host1", "10.0.0.1/32"))
					if restart {
						r.start()
					}
					line := func(w string) string { return "10.0.0.1/32 dev w-" + w + " proto 118 metric 118" }
					r.wantRoutes(line(order[1]))
					r.wantStage(order[0], loser, vrouterv1.Stage_STAGE_REGISTERED, "is held by endpoint")
					r.wantStage(order[1], winner, vrouterv1.Stage_STAGE_ADVERTISED, "")
					r.calls.take()
					r.delete(endpointObject(order[1], "host1"))
					r.wantRoutes(line(order[0]))
					r.wantStage(order[0], loser, vrouterv1.Stage_STAGE_ADVERTISED, "")
					calls := r.calls.take()
					wantOrder(t, calls, "replace 10.0.0.1/32", "forget 10.0.0.1")
					wantNone(t, calls, "withdraw", "remove") // announced again with the other interface, which filters may ask for
				})
			})
		}
	}
}

// An address passes to another endpoint in one transaction.
func TestAddressChangesHands(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		for _, l := range []string{"w-a", "w-b"} {
			r.kernel.AddLink(l)
		}
		r.start()
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.put(endpointObject("b", "host1", "10.0.0.2/32"))
		r.calls.take()
		r.putAll(endpointObject("a", "host1", "10.0.0.2/32"), endpointObject("b", "host1", "10.0.0.1/32"))
		r.wantRoutes("10.0.0.1/32 dev w-b proto 118 metric 118", "10.0.0.2/32 dev w-a proto 118 metric 118")
		calls := r.calls.take()
		wantOrder(t, calls, "replace", "forget")
		wantNone(t, calls, "remove", "withdraw")
	})
}

// The new home of an endpoint announces it as the better path until the old
// path is gone, and polls nothing before and after.
func TestContestedPrefix(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.node2()
		p := r.peer()
		p.originate("10.0.0.1/32")
		r.start()
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantRoutes(lineA)
		r.wantOwn("10.0.0.1/32 2147483135")
		if got := p.heard("10.0.0.1/32"); got != elevatedLocalPref {
			t.Fatalf("the peer heard LOCAL_PREF %d", got)
		}
		r.pass(time.Minute)
		r.wantOwn("10.0.0.1/32 2147483135")
		p.withdraw("10.0.0.1/32")
		r.wantOwn("10.0.0.1/32 100")
		if p.heard("10.0.0.1/32") != 100 {
			t.Error("the peer did not hear the plain path")
		}
		// Contested again by a host that is wrong: ours stays as it is.
		p.originate("10.0.0.1/32")
		r.wantOwn("10.0.0.1/32 100")
		if n := len(r.agent.learned.watched); n > 0 || r.agent.workloads.origins.better != 0 {
			t.Errorf("%d prefixes are watched, %d count as contested", n, r.agent.workloads.origins.better)
		}
	})
}

// A contested prefix that leaves again is forgotten.
func TestContestedPrefixLeaves(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.node2()
		r.peer().originate("10.0.0.1/32")
		r.start()
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.delete(endpointObject("a", "host1"))
		r.wantOwn()
		r.wantRoutes("10.0.0.1/32 group(via 192.0.2.2 dev up0) proto 120 metric 118")
		r.pass(time.Minute)
		if n := len(r.agent.learned.watched); n > 0 || r.agent.workloads.origins.better != 0 {
			t.Errorf("%d prefixes are watched, %d count as contested", n, r.agent.workloads.origins.better)
		}
	})
}

func TestWaitStage(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.start()
		revision := r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		type answer struct {
			stage    vrouterv1.Stage
			problems []string
			err      error
		}
		answers := make(chan answer, 1)
		go func() {
			s, p, err := r.agent.WaitStage(t.Context(), idOf("a"), revision, vrouterv1.Stage_STAGE_ADVERTISED)
			answers <- answer{s, p, err}
		}()
		r.pass(time.Second)
		if len(answers) > 0 {
			t.Fatal("answered before the interface is there")
		}
		r.kernel.AddLink("w-a")
		r.pass(0)
		if a := <-answers; a.err != nil || a.stage != vrouterv1.Stage_STAGE_ADVERTISED {
			t.Errorf("answered %+v", a)
		}
		if n := len(r.agent.stages.waiters); n > 0 {
			t.Errorf("%d still wait", n)
		}
	})
}
