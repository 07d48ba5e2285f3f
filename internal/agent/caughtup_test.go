package agent

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/bgp/bgptest"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/fibtest"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/internal/view"
)

// slow is the edge of endpoints at the pace of a test: nothing happens beside it.
type slow struct {
	*workloads
	t      *testing.T
	view   *view.View
	claims *view.Blocks
	calls  *calls
}

func newSlow(t *testing.T) *slow {
	t.Helper()
	kernel, all := fibtest.New(), new(calls)
	kernel.AddLink("w-a")
	log := hclog.NewNullLogger()
	table := fib.New(kernel, fib.Options{Report: []fib.Source{fib.Workload, fib.Blackhole}})
	speaker := &recorder{Speaker: bgptest.NewNetwork().NewSpeaker(), calls: all}
	err := speaker.Start(t.Context(), bgp.Settings{
		ASN: resource.DefaultASNumber, RouterID: netip.MustParseAddr("192.0.2.1"), ListenAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = speaker.Stop(context.Background(), true) })
	s := &slow{t: t, view: view.New("host1"), claims: view.NewBlocks("host1"), calls: all}
	ifs := &fakeInterfaces{calls: new(calls), changed: make(chan struct{}, 1)}
	s.workloads = newWorkloads(s.view, s.claims, table, ifs, newOrigins(speaker, newLearned(speaker, table, log), newExports()), newStages(), unpoliced{}, log)
	s.claims.Apply(store.Batch{Revision: 1, Synced: true})
	s.round()
	return s
}

// round makes one round of the table, and tells of it.
func (s *slow) round() {
	s.t.Helper()
	if err := s.table.Sync(s.t.Context(), false); err != nil {
		s.t.Fatal(err)
	}
	s.programmed(s.t.Context(), s.table.Drain())
}

// hears of what a store tells as of a revision.
func (s *slow) hears(revision int64, ops ...store.Op) {
	s.t.Helper()
	batch := store.Batch{Revision: revision, Synced: true}
	for _, op := range ops {
		batch.Events = append(batch.Events, store.Event{KV: store.KV{Key: op.Key, Value: op.Value, ModRevision: revision}})
	}
	s.view.Apply(batch)
}

func (s *slow) advertisedByBlocks() store.Op {
	s.t.Helper()
	pool := advertising("four", "10.0.0.0/16", "Blocks")
	value, err := resource.Encode(pool)
	if err != nil {
		s.t.Fatal(err)
	}
	return store.Op{Key: keyOf(pool), Value: value}
}

func (s *slow) takes(revision int64) {
	s.t.Helper()
	claim := claimOp(s.t, "host1", blockA, "confirmed")
	s.claims.Take(s.claims.Round(), store.Page{Revision: revision, KVs: []store.KV{{Key: claim.Key, Value: claim.Value, ModRevision: revision}}})
}

// wantTold ends with what makes everything told that is to be.
func (s *slow) wantTold() {
	s.t.Helper()
	s.heard()
	s.round()
	s.retell()
	if got := s.calls.take(); !slices.Equal(got[1:], []string{"originate " + blockA}) {
		s.t.Errorf("said %q, want the block alone", got[1:])
	}
}

// TestClaimIsReadBeforeItIsFollowed: a claim becomes known between two looks at an
// endpoint that waits for it; that it is known is not that it was followed.
func TestClaimIsReadBeforeItIsFollowed(t *testing.T) {
	s := newSlow(t)
	s.hears(2, s.advertisedByBlocks(), endpointOp(t, "a", "host1", "10.0.0.1/32"))
	s.endpoints(t.Context())
	s.round()
	if !s.claims.Asking() {
		t.Fatal("nobody asks for the claim")
	}
	s.takes(2)
	s.advance(idOf("a"), s.byID[idOf("a")])
	s.wantTold()
}

// TestModesAreKnownBeforeTheyAreFollowed: the blackhole of a block stands when its
// pool comes to be told by blocks, and whoever states the pools was quicker.
func TestModesAreKnownBeforeTheyAreFollowed(t *testing.T) {
	for name, quick := range map[string]bool{"the edge of endpoints is first": false, "it is last": true} {
		t.Run(name, func(t *testing.T) {
			s := newSlow(t)
			s.takes(2)
			s.heard()
			s.round()
			s.hears(3, s.advertisedByBlocks(), endpointOp(t, "a", "host1", "10.0.0.1/32"))
			if quick {
				s.origins.exports.setModes(s.view.Pools)
			}
			s.endpoints(t.Context())
			s.round()
			s.wantTold()
		})
	}
}
