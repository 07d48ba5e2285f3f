package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/policytest"
)

// wantPoliced compares which interfaces are policed, and for whom: closed ones
// for nobody.
func (r *rig) wantPoliced(filter *policytest.Memory, want ...string) {
	r.t.Helper()
	got := []string{}
	filter.See(func(s *policy.State) {
		for id, e := range s.Endpoints {
			got = append(got, strings.TrimSpace(e.Interface+" "+id.Workload))
		}
	})
	slices.Sort(got)
	if !slices.Equal(got, want) && len(got)+len(want) > 0 {
		r.t.Fatalf("policed %q, want %q", got, want)
	}
}

// stuck is a kernel that takes no changes of a route; it is empty: all.
func (r *rig) stuck(prefix string) {
	r.kernel.Refuse(func(c fib.Change) error {
		if prefix != "" && c.Object == nil && c.Entry.Prefix == pfx(prefix) {
			return fibtest.ErrInvalid
		}
		return nil
	})
}

// TestClosedUntilTheRouteIsGone: whatever becomes of an endpoint, the interface
// that the kernel's route leads to is policed: as nobody's when it has gone.
func TestClosedUntilTheRouteIsGone(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		filter := policytest.NewMemory()
		for _, l := range []string{"w-a", "w-b", "else"} {
			r.kernel.AddLink(l)
		}
		elsewhere := endpointObject("a", "host1", "10.0.0.1/32")
		name := "else"
		elsewhere.Spec.InterfaceName = &name
		r.start(policed(filter))
		steps := []struct {
			what   string
			do     func()
			routes string   // while the kernel keeps the old one
			stuck  []string // policed then
			routed string
			free   []string
		}{
			{"moves away", func() { r.put(endpointObject("a", "host2", "10.0.0.1/32")) }, lineA, []string{"w-a"}, "", nil},
			{"goes", func() { r.delete(endpointObject("a", "host1")) }, lineA, []string{"w-a"}, "", nil},
			{"is on another interface", func() { r.put(elsewhere) }, lineA, []string{"else a", "w-a"},
				"10.0.0.1/32 dev else proto 118 metric 118", []string{"else a"}},
			{"gives its address to another", func() {
				r.write(endpointOp(t, "a", "host1", "10.0.0.9/32"), endpointOp(t, "b", "host1", "10.0.0.1/32"))
			}, lineA + "\n10.0.0.9/32 dev w-a proto 118 metric 118", []string{"w-a a", "w-b b"},
				"10.0.0.1/32 dev w-b proto 118 metric 118\n10.0.0.9/32 dev w-a proto 118 metric 118", []string{"w-a a", "w-b b"}},
			{"is another one", func() {
				op := endpointOp(t, "a", "host1")
				op.Delete = true
				r.write(op, endpointOp(t, "b", "host1", "10.0.0.1/32"))
			}, lineA, []string{"w-a", "w-b b"}, "10.0.0.1/32 dev w-b proto 118 metric 118", []string{"w-b b"}},
		}
		for _, s := range steps {
			r.put(endpointObject("a", "host1", "10.0.0.1/32"))
			r.wantRoutes(lineA)
			r.wantPoliced(filter, "w-a a")
			r.stuck("10.0.0.1/32")
			s.do()
			r.pass(time.Second)
			r.wantRoutes(strings.Split(s.routes, "\n")...)
			r.wantPoliced(filter, s.stuck...)
			r.stuck("")
			r.pass(time.Minute)
			r.wantRoutes(slices.DeleteFunc(strings.Split(s.routed, "\n"), func(l string) bool { return l == "" })...)
			r.wantPoliced(filter, s.free...)
			r.delete(endpointObject("a", "host1"))
			r.delete(endpointObject("b", "host1"))
			r.pass(time.Second)
			r.wantRoutes()
			r.wantPoliced(filter)
			if w := r.agent.workloads; len(w.routed)+len(w.routes)+len(w.leaving) > 0 {
				t.Fatalf("%s: remembered %v, %v, %v", s.what, w.routed, w.routes, w.leaving)
			}
		}
	})
}

// TestClosedWhileTheRouteIsWritten: an endpoint goes while the kernel is at its
// route, which comes nevertheless, and goes after that.
func TestClosedWhileTheRouteIsWritten(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		filter := policytest.NewMemory()
		r.kernel.AddLink("w-a")
		r.host = sluggish{r.kernel}
		r.start(policed(filter))
		r.pass(time.Minute)
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.pass(time.Second / 2)
		r.delete(endpointObject("a", "host1"))
		r.pass(time.Second / 4)
		r.wantPoliced(filter, "w-a")
		r.pass(time.Second / 2)
		r.wantRoutes(lineA)
		r.wantPoliced(filter, "w-a")
		r.pass(time.Minute)
		r.wantRoutes()
		r.wantPoliced(filter)
	})
}

// A route that does not go is looked at often, endpoints that have problems are
// not for its sake: each time is work for the kernel.
func TestTroubleBesideWhatLeaves(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.start()
		r.ifs.setBroken("w-b", errors.New("broken"))
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.put(endpointObject("b", "host1", "10.0.0.2/32"))
		r.stuck("10.0.0.1/32")
		r.delete(endpointObject("a", "host1"))
		r.calls.take()
		r.pass(time.Minute)
		r.wantRoutes(lineA)
		n := 0
		for _, call := range r.calls.take() {
			if strings.HasPrefix(call, "prepare w-b") {
				n++
			}
		}
		if most := int(time.Minute/longPause) + 1; n == 0 || n > most {
			t.Errorf("prepared %d times in a minute, want up to %d", n, most)
		}
	})
}

// An endpoint that went while the daemon was not there: its route goes when the
// store has told everything, and its interface is closed until then. The host's
// own is not, whatever leads to it: the store may be behind it.
func TestClosedAfterARestart(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		filter := policytest.NewMemory()
		r.kernel.AddLink("w-a")
		r.kernel.AddLink("w-gone")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.left()
		gone := fib.Entry{Prefix: pfx("10.0.8.9/32"), Table: fib.DefaultTable, Metric: fib.DefaultMetric,
			Protocol: fib.DefaultProtocol, Hops: []fib.Hop{{Index: r.kernel.Index("w-gone")}}}
		if errs := r.kernel.Interfere(fib.Change{Op: fib.Create, Entry: gone}); errs != nil {
			t.Fatal(errs)
		}
		c := r.copy()
		c.KVs = slices.DeleteFunc(c.KVs, func(kv store.KV) bool { return strings.HasPrefix(kv.Key, store.KindPrefix("WorkloadEndpoint")) })
		r.client.Disconnect()
		r.start(policed(filter), func(o *Options) { o.Copy = c })
		r.pass(time.Minute)
		r.wantRoutes(leftWorkloadLine, "10.0.8.9/32 dev w-gone proto 118 metric 118", leftLearnedLine)
		r.wantPoliced(filter, "w-gone")
		r.client.Reconnect()
		r.pass(time.Minute)
		r.wantRoutes(lineA)
		r.wantPoliced(filter, "w-a a")
	})
}

// No route comes to an endpoint that policy knows to be going: nothing would
// close its interface.
func TestPolicyKnowsMore(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		var resolver *fakeResolver
		r.start(policed(policytest.NewMemory()), func(o *Options) { resolver = o.Policing.Resolver.(*fakeResolver) })
		resolver.ahead = true
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantRoutes()
		resolver.ahead = false
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.wantRoutes(lineA)
	})
}
