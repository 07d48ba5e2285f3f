package policy_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/policytest"
)

// source is a Source made by hand.
type source struct {
	changed chan struct{}

	mu    sync.Mutex
	all   *policy.Update
	drain *policy.Update
}

func (s *source) Changed() <-chan struct{} { return s.changed }

func (s *source) Drain() *policy.Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.drain
	if s.drain = new(policy.Update); u == nil {
		return s.drain
	}
	return u
}

func (s *source) All() *policy.Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain = new(policy.Update)
	return s.all
}

func (s *source) tell(all, drain *policy.Update) {
	s.mu.Lock()
	s.all, s.drain = all, drain
	s.mu.Unlock()
	s.changed <- struct{}{}
}

func endpoint(name string, revision int64) *policy.Endpoint {
	return &policy.Endpoint{ID: resource.EndpointID{Endpoint: name}, Revision: revision, Interface: name, Ingress: "in", Egress: "out"}
}

// everything is an update of these endpoints and what they need.
func everything(endpoints ...*policy.Endpoint) *policy.Update {
	u := &policy.Update{
		Settings: &policy.Settings{},
		Sets:     make(map[policy.SetID]*policy.SetChange),
		Pipelines: map[string]*policy.Pipeline{
			"in":  {ID: "in", Direction: policy.Ingress, End: policy.Deny},
			"out": {ID: "out", Direction: policy.Egress, End: policy.Deny},
		},
		Endpoints: make(map[resource.EndpointID]*policy.Endpoint),
	}
	for _, id := range []policy.SetID{policy.PoolSet, policy.MasqueradeSet, policy.NodeSet, policy.PeerSet} {
		u.Sets[id] = &policy.SetChange{Kind: policy.Networks, New: true}
	}
	for _, e := range endpoints {
		u.Endpoints[e.ID] = e
	}
	return u
}

func TestTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a1, a2, b := endpoint("a", 1), endpoint("a", 2), endpoint("b", 3)
		src := &source{changed: make(chan struct{}, 1), all: everything(a1)}
		kernel := policytest.NewMemory()
		table := policy.NewTable(src, kernel, policy.Options{ReadBack: -1})
		go table.Run(t.Context())
		synctest.Wait()
		if got := table.Policed(a1.ID); got != 1 {
			t.Fatalf("after the start a is policed at revision %d, want 1", got)
		}

		kernel.Refuse(errors.New("no buffer space available"))
		change := &policy.Update{Endpoints: map[resource.EndpointID]*policy.Endpoint{a2.ID: a2, b.ID: b}}
		src.tell(everything(a2, b), change)
		synctest.Wait()
		if a, b := table.Policed(a2.ID), table.Policed(b.ID); a != 1 || b != 0 {
			t.Fatalf("refused, and policed at revisions %d, %d; want 1, 0", a, b)
		}
		if table.Stats().Problem == nil {
			t.Fatal("refused, and no problem is told")
		}

		kernel.Refuse(nil)
		time.Sleep(time.Minute) // virtual: the back-off runs out
		if a, b := table.Policed(a2.ID), table.Policed(b.ID); a != 2 || b != 3 {
			t.Fatalf("mended, and policed at revisions %d, %d; want 2, 3", a, b)
		}
		if err := table.Stats().Problem; err != nil {
			t.Fatalf("mended, and the problem stays: %v", err)
		}

		src.tell(everything(b), &policy.Update{Endpoints: map[resource.EndpointID]*policy.Endpoint{a2.ID: nil}})
		synctest.Wait()
		if got := table.Policed(a2.ID); got != 0 {
			t.Fatalf("a is gone and policed at revision %d", got)
		}
		if got := len(table.Drain()); got != 2 {
			t.Fatalf("%d endpoints are told of, want a and b", got)
		}
	})
}

func TestTableRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endpoint("a", 1)
		src := &source{changed: make(chan struct{}, 1), all: everything(e)}
		kernel := policytest.NewMemory()
		table := policy.NewTable(src, kernel, policy.Options{ReadBack: -1})
		go table.Run(t.Context())
		synctest.Wait()
		kernel.Flush()
		synctest.Wait()
		kernel.See(func(s *policy.State) {
			if s.Endpoints[e.ID] == nil {
				t.Fatal("flushed by a stranger, and not repaired")
			}
		})
		if kernel.Syncs() != 2 {
			t.Fatalf("%d read-backs, want 2", kernel.Syncs())
		}
	})
}
