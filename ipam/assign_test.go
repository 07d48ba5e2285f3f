package ipam

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

func fixedAt(node, handle, address string) AssignRequest {
	return AssignRequest{Address: netip.MustParseAddr(address), Node: node, Handle: handle, Owner: external()}
}

func (r *rig) assign(node, handle, address string) (Allocation, error) {
	return r.Assign(r.Context(), fixedAt(node, handle, address))
}

func TestAssign(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	a, err := r.assign("host1", "h", "10.0.0.70")
	if err != nil || a.Block.String() != "10.0.0.64/26" || a.Borrowed || a.Existed || a.Pool != "a" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if again, err := r.other().assign("host1", "h", "10.0.0.70"); err != nil || !again.Existed || again.Sequence != a.Sequence {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	_, err = r.assign("host2", "i", "10.0.0.70")
	var used *InUseError
	if !errors.As(err, &used) || used.Handle != "h" || used.Sequence != a.Sequence {
		t.Errorf("of another handle: %v", err)
	}
	req := fixedAt("host2", "i", "10.0.0.70")
	req.HeldBy = []string{"h"}
	if got, err := r.Assign(t.Context(), req); err != nil || got.Handle != "h" {
		t.Errorf("of a handle that the call names: %+v, %v", got, err)
	}
	if b, err := r.assign("host2", "i", "10.0.0.71"); err != nil || !b.Borrowed {
		t.Errorf("out of another's block: %+v, %v", b, err)
	}
	if _, err := r.assign("host1", "j", "192.0.2.1"); !errors.Is(err, ErrNotInPool) {
		t.Errorf("outside: %v", err)
	}
	if _, err := r.Assign(t.Context(), AssignRequest{}); !errors.Is(err, ErrBadRequest) {
		t.Errorf("nothing said: %v", err)
	}
	r.consistent()
}

// A mapped address is that of IPv4, here as in the keys of the store.
func TestAssignMapped(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	if a, err := r.assign("host1", "h", "::ffff:10.0.0.1"); err != nil || a.Address.String() != "10.0.0.1" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestAssignUnderStrictAffinity(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	r.settings.env.Config = Config{StrictAffinity: true, MaxBlocksPerHost: 1}
	if _, err := r.assign("host1", "h", "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.assign("host2", "i", "10.0.0.2"); !errors.Is(err, ErrStrictAffinity) {
		t.Errorf("out of another's block: %v", err)
	}
	if _, err := r.assign("host1", "j", "10.0.0.65"); !errors.Is(err, ErrBlockLimit) {
		t.Errorf("above the limit: %v", err)
	}
	r.settings.env.Config.NoAutoAllocate = true
	if _, err := r.assign("host3", "k", "10.0.0.65"); !errors.Is(err, ErrNoAutoAllocate) {
		t.Errorf("without a block assigned: %v", err)
	}
	if err := r.do(func(s *Step) error { return s.AssignBlock("host3", netip.MustParsePrefix("10.0.0.128/26")) }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.assign("host3", "k", "10.0.0.65"); !errors.Is(err, ErrHostLocal) {
		t.Errorf("of a block that is not the one assigned: %v", err)
	}
	if _, err := r.assign("host3", "k", "10.0.0.129"); err != nil {
		t.Errorf("of the block assigned: %v", err)
	}
	if h := r.read().Handles; len(h) != 2 {
		t.Errorf("handles %v", h)
	}
	r.consistent()
}

// At the limit of blocks a reserve makes room for the block of a named address.
func TestAssignInsteadOfAReserve(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/30"))
	r.settings.env.Config = Config{StrictAffinity: true, MaxBlocksPerHost: 2}
	own := r.one(ask("host1", "h", 4)).Block
	if !r.keepSpare(ask("host1", "", 1)) {
		t.Fatal("no reserve")
	}
	spare := r.read().Affinities
	for _, address := range []string{"10.0.0.1", "10.0.0.5", "10.0.0.9"} {
		a := netip.MustParseAddr(address)
		if own.Contains(a) || spare[0].CIDR.Contains(a) || spare[1].CIDR.Contains(a) {
			continue
		}
		if got, err := r.assign("host1", "i", address); err != nil || got.Borrowed {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := r.assign("host1", "j", "10.0.0.200"); !errors.Is(err, ErrBlockLimit) {
			t.Errorf("above the limit: %v", err)
		}
		r.consistent()
		return
	}
	t.Error("no address elsewhere")
}

// A pool that does not select the node gives a named address all the same; its
// block belongs to nobody, and goes with the address.
func TestAssignOfAnUnselectedPool(t *testing.T) {
	a := pool("a=10.0.0.0/24/26")
	a.Disabled = true
	r := newRig(t, a)
	if got, err := r.assign("host1", "h", "10.0.0.1"); err != nil || !got.Borrowed {
		t.Fatalf("got %+v, %v", got, err)
	}
	if c := r.read(); len(c.Affinities) != 0 || len(c.Blocks) != 1 || c.Blocks[0].Affinity != "" {
		t.Errorf("store: %+v", c)
	}
	r.consistent()
	if _, err := r.ReleaseHandle(t.Context(), "", "h"); err != nil {
		t.Fatal(err)
	}
	if c := r.read(); len(c.Blocks)+len(c.Handles) != 0 {
		t.Errorf("left behind: %+v", c)
	}
}

func TestReleaseGuards(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	a, err := r.assign("host1", "h", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	release := func(handle string, sequence uint64) error {
		_, err := r.Release(t.Context(), "host1", []Release{{Address: a.Address, Handle: handle, Sequence: sequence}})
		return err
	}
	var stale *StaleError
	if err := release("other", 0); !errors.As(err, &stale) || stale.Handle != "h" {
		t.Errorf("of another handle: %v", err)
	}
	if err := release("h", a.Sequence+1); !errors.Is(err, ErrStale) {
		t.Errorf("with another sequence number: %v", err)
	}
	if err := release("h", a.Sequence); err != nil {
		t.Error(err)
	}
	none, err := r.Release(t.Context(), "", []Release{{Address: a.Address}})
	if err != nil || len(none) != 1 {
		t.Errorf("what nobody holds: %v, %v", none, err)
	}
	if _, err := r.ReleaseHandle(t.Context(), "", "h"); !errors.Is(err, ErrNoHandle) {
		t.Errorf("handle without addresses: %v", err)
	}
	r.consistent()
}

// A sequence number of an earlier life of the block does not release.
func TestSequenceOutlivesTheBlock(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/32/32"))
	a, err := r.assign("host1", "h", "10.0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReleaseHandle(t.Context(), "host1", "h"); err != nil {
		t.Fatal(err)
	}
	if err := r.do(func(s *Step) error { return s.ReleaseBlock("host1", a.Block, IfEmpty) }); err != nil {
		t.Fatal(err)
	}
	if n := len(r.read().Blocks); n != 0 {
		t.Fatalf("%d blocks", n)
	}
	if _, err := r.assign("host1", "h", "10.0.0.0"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Release(t.Context(), "", []Release{{Address: a.Address, Handle: "h", Sequence: a.Sequence}}); !errors.Is(err, ErrStale) {
		t.Errorf("got %v", err)
	}
}

// One transaction gives back what an endpoint had and takes what it gets, with
// the endpoint itself.
func TestStepIsJoined(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	old := r.one(ask("host1", "old", 1))
	count := &counting{Store: r.memory}
	r.Client = NewClient(count, r.settings)
	var got *Result
	work := func(s *Step) error {
		if _, err := s.ReleaseHandle("old"); err != nil {
			return err
		}
		var err error
		if got, err = s.Allocate(Request{Node: "host1", Handle: "new", Owner: Owner{OwnerEndpoint, "r/e"}, IPv4: 1}); err != nil {
			return err
		}
		s.Join([]store.Compare{{Key: "r/e"}}, []store.Op{{Key: "r/e", Value: []byte("endpoint")},
			{Key: store.AddressKey(got.Allocations[0].Address), Value: []byte("r/e")}})
		return nil
	}
	if err := r.do(work); err != nil {
		t.Fatal(err)
	}
	if count.txns != 1 || got.Allocations[0].Address == old.Address {
		t.Errorf("%d transactions, %+v", count.txns, got)
	}
	c := r.read()
	if len(c.Handles) != 1 || c.Handles["new"] == nil || len(c.Endpoints) != 1 {
		t.Errorf("handles %v, endpoints %v", c.Handles, c.Endpoints)
	}
	r.consistent()
}

// An operation that fails takes nothing of its step with it.
func TestStepAfterAFailure(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/30/30"))
	err := r.do(func(s *Step) error {
		if _, err := s.Allocate(ask("host1", "a", 2)); err != nil {
			return err
		}
		req := ask("host1", "b", 3)
		req.Partial = false
		var need *NeedError
		if _, err := s.Allocate(req); errors.As(err, &need) {
			return err
		} else if !errors.Is(err, ErrPoolsExhausted) {
			t.Errorf("got %v", err)
		}
		_, err := s.Allocate(ask("host1", "c", 2))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.read(); len(c.Handles) != 2 || c.Blocks[0].Free() != 0 {
		t.Errorf("handles %v, %d free", c.Handles, c.Blocks[0].Free())
	}
	r.consistent()
}

// TestAssignToWhoHadIt: what is remembered of a block says that the handle has
// the address, and it was released meanwhile by somebody else.
func TestAssignToWhoHadIt(t *testing.T) {
	r := newRig(t, pool("a=10.0.0.0/24/26"))
	req := fixedAt("host1", "h", "10.0.0.7")
	if _, err := r.assign("host1", "h", "10.0.0.7"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.other().ReleaseHandle(t.Context(), "host1", "h"); err != nil {
		t.Fatal(err)
	}
	// With something to write that does not touch the block, as an endpoint is.
	_, err := r.Do(t.Context(), "host1", func(_ context.Context, s *Step) error {
		s.Join(nil, []store.Op{{Key: "endpoint"}})
		_, err := s.Assign(req)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if h := r.read().Handles["h"]; h == nil {
		t.Error("the address is not held")
	}
	r.consistent()
}
