package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/policytest"
)

// fakeResolver lets everything through to the endpoints of host1.
type fakeResolver struct {
	changed chan struct{}
	cuts    bool // settings have connections cut

	mu    sync.Mutex
	known map[resource.ID]*policy.Endpoint
	dirty map[resource.EndpointID]*policy.Endpoint
	told  bool // of the pipelines

	routed map[string]bool // interfaces that routes lead to
	ahead  bool            // of everybody: it knows that endpoints are going
}

func newFakeResolver() *fakeResolver {
	return &fakeResolver{
		changed: make(chan struct{}, 1), known: make(map[resource.ID]*policy.Endpoint),
		dirty: make(map[resource.EndpointID]*policy.Endpoint), routed: make(map[string]bool),
	}
}

func (f *fakeResolver) Take(objects map[resource.ID]resource.Object) {
	for id, object := range objects {
		if object == nil {
			f.delete(id)
		} else {
			f.put(object)
		}
	}
}

func (f *fakeResolver) put(object resource.Object) {
	ep, ok := object.(*resource.WorkloadEndpoint)
	if !ok {
		return
	}
	if ep.Node != "host1" {
		f.delete(ep.ID)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := &policy.Endpoint{
		ID: ep.Endpoint, Revision: ep.Revision, Interface: ep.Interface, Addresses: ep.Addresses, Ingress: "in", Egress: "out",
	}
	old := f.known[ep.ID]
	f.known[ep.ID], f.dirty[ep.Endpoint] = e, e
	if f.closeLocked(ep.Interface); old != nil {
		f.closeLocked(old.Interface)
	}
	signal(f.changed)
}

func (f *fakeResolver) delete(id resource.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.known[id]
	if e == nil {
		return
	}
	delete(f.known, id)
	f.dirty[e.ID] = nil
	f.closeLocked(e.Interface)
	signal(f.changed)
}

func (f *fakeResolver) Reach(id resource.EndpointID, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	on := f.onLocked(name, id) && !f.ahead
	f.routed[name] = f.routed[name] || on
	return on
}

func (f *fakeResolver) Keep(name string) { f.setRouted(name, true) }

func (f *fakeResolver) Leave(name string) { f.setRouted(name, false) }

func (f *fakeResolver) setRouted(name string, routed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.routed[name] = routed
	f.closeLocked(name)
	signal(f.changed)
}

// onLocked tells whether an endpoint is on an interface; the zero one: any.
func (f *fakeResolver) onLocked(name string, id resource.EndpointID) bool {
	for _, e := range f.known {
		if e.Interface == name && e.ID.Namespace != "" && (e.ID == id || id == (resource.EndpointID{})) {
			return true
		}
	}
	return false
}

// closeLocked closes an interface that routes lead to and nobody is on.
func (f *fakeResolver) closeLocked(name string) {
	key, id := resource.ID{Kind: "closed", Name: name}, resource.EndpointID{Endpoint: name}
	was := f.known[key] != nil
	switch closes := f.routed[name] && !f.onLocked(name, resource.EndpointID{}); {
	case closes && !was:
		e := &policy.Endpoint{ID: id, Interface: name, Ingress: "in", Egress: "out"}
		f.known[key], f.dirty[id] = e, e
	case !closes && was:
		delete(f.known, key)
		f.dirty[id] = nil
	}
}

func (f *fakeResolver) Changed() <-chan struct{} { return f.changed }

func (f *fakeResolver) Problems() []policy.Problem { return nil }

func (f *fakeResolver) Drain() *policy.Update {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.updateLocked(false)
}

func (f *fakeResolver) All() *policy.Update {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.updateLocked(true)
}

func (f *fakeResolver) updateLocked(all bool) *policy.Update {
	u := &policy.Update{Endpoints: f.dirty, Pipelines: make(map[string]*policy.Pipeline)}
	f.dirty = make(map[resource.EndpointID]*policy.Endpoint)
	if all {
		f.told = false
		u.Settings = &policy.Settings{CutDenied: f.cuts}
		u.Endpoints = make(map[resource.EndpointID]*policy.Endpoint)
		for _, e := range f.known {
			u.Endpoints[e.ID] = e
		}
		u.Sets = make(map[policy.SetID]*policy.SetChange)
		for _, id := range []policy.SetID{policy.PoolSet, policy.MasqueradeSet, policy.NodeSet, policy.PeerSet} {
			u.Sets[id] = &policy.SetChange{Kind: policy.Networks, New: true}
		}
	}
	switch needed := len(f.known) > 0; {
	case needed && !f.told:
		u.Pipelines["in"] = &policy.Pipeline{ID: "in", Direction: policy.Ingress, End: policy.Deny}
		u.Pipelines["out"] = &policy.Pipeline{ID: "out", Direction: policy.Egress, End: policy.Deny}
		f.told = true
	case !needed && f.told:
		u.Pipelines["in"], u.Pipelines["out"] = nil, nil
		f.told = false
	}
	return u
}

// policed has an agent enforce policy with a filter in memory.
func policed(filter policy.Dataplane) func(*Options) {
	return func(o *Options) {
		resolver := newFakeResolver()
		o.Policing = &Policing{
			Resolver: resolver, Table: policy.NewTable(resolver, filter, policy.Options{Logger: o.Logger.Named("policy")}),
			Dataplane: "memory",
		}
	}
}

// An endpoint is reached once its policy is in force, and not before.
func TestPolicedBeforeReached(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		filter := policytest.NewMemory()
		r.kernel.AddLink("w-a")
		r.kernel.AddLink("w-b")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start(policed(filter))
		r.wantRoutes("10.0.0.1/32 dev w-a proto 118 metric 118")
		r.wantOwn("10.0.0.1/32 100")

		filter.Refuse(errors.New("no buffer space available"))
		r.put(endpointObject("b", "host1", "10.0.0.2/32"))
		r.pass(time.Second)
		r.wantRoutes("10.0.0.1/32 dev w-a proto 118 metric 118")
		p, _ := r.agent.stages.get(idOf("b"))
		if p.Programmed || !slices.Contains(p.Problems, "10.0.0.2/32: its policy is not in force yet") {
			t.Fatalf("refused by the kernel, and the stage is %+v", p)
		}

		const alarm = "policy_in_force 0"
		if all := r.metrics(); !slices.Contains(all, alarm) {
			t.Errorf("refused, and no %q among %q", alarm, all)
		}
		if all := r.agent.problems(); len(all) != 1 || !strings.Contains(all[0], "no buffer space available") {
			t.Errorf("refused, and the problems of the node are %q", all)
		}

		filter.Refuse(nil)
		r.pass(time.Minute)
		if all := r.metrics(); slices.Contains(all, alarm) {
			t.Errorf("in force, and still %q", alarm)
		}
		r.wantRoutes("10.0.0.1/32 dev w-a proto 118 metric 118", "10.0.0.2/32 dev w-b proto 118 metric 118")
		if p, _ := r.agent.stages.get(idOf("b")); !p.Advertised {
			t.Fatalf("in force, and the stage is %+v", p)
		}

		r.delete(endpointObject("b", "host1"))
		r.pass(time.Second) // that the route is gone is not told
		r.wantRoutes("10.0.0.1/32 dev w-a proto 118 metric 118")
		filter.See(func(s *policy.State) {
			if len(s.Endpoints) != 1 {
				t.Fatalf("%d endpoints are policed, want 1", len(s.Endpoints))
			}
		})
	})
}

// A kernel that refuses policy at the start leaves routes of before as they
// are, and the rest of the daemon goes on.
func TestRefusedAtTheStart(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		filter := policytest.NewMemory()
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.start(policed(filter))
		r.wantRoutes("10.0.0.1/32 dev w-a proto 118 metric 118")
		r.end()

		filter.Refuse(errors.New("operation not permitted"))
		r.start(policed(filter))
		r.pass(time.Minute)
		r.wantRoutes("10.0.0.1/32 dev w-a proto 118 metric 118")
		r.wantNotReady()
		filter.Refuse(nil)
		r.pass(time.Minute)
		r.wantRoutes("10.0.0.1/32 dev w-a proto 118 metric 118")
		if p, _ := r.agent.stages.get(idOf("a")); !p.Advertised {
			t.Fatalf("in force, and the stage is %+v", p)
		}
	})
}

// stubbornFlows refuses to cut connections for some time.
type stubbornFlows struct {
	refusals int
	calls    int
}

func (f *stubbornFlows) Cut(context.Context, func(policy.Connection) bool) (int, error) {
	if f.calls++; f.calls <= f.refusals {
		return 1, errors.New("no buffer space available")
	}
	return 2, nil
}

// What could not be cut is cut later, without another change of policy.
func TestCuttingGoesOn(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		flows := &stubbornFlows{refusals: 2}
		r.start(policed(policytest.NewMemory()), func(o *Options) {
			o.Policing.Resolver.(*fakeResolver).cuts = true
			o.Policing.Flows = flows
		})
		r.pass(10 * time.Second)
		if all := r.metrics(); flows.calls != 3 || !slices.Contains(all, "policy_connections_cut_total 4") {
			t.Errorf("%d calls, metrics %q", flows.calls, all)
		}
	})
}
