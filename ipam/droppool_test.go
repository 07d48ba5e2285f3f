package ipam

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/projectvrouter/vrouter/internal/store"
)

func (r *rig) dropPool(p Pool) (bool, error) {
	more := false
	err := r.do(func(s *Step) (err error) {
		more, err = s.DropPool(&p)
		return err
	})
	return more, err
}

func TestDropPool(t *testing.T) {
	a, b := pool("a=10.0.0.0/24/30"), pool("b=10.1.0.0/24/30")
	r := newRig(t, a, b)
	req := ask("host1", "h", 256)
	req.Pools, req.MaxBlocks = []string{"a"}, 64
	r.allocate(req)
	other := ask("host2", "i", 1)
	other.Pools = []string{"b"}
	r.one(other)

	_, err := r.dropPool(a)
	var used *PoolInUseError
	if !errors.As(err, &used) || used.Held != 256 || used.Example.Handle != "h" {
		t.Errorf("got %v", err)
	}
	if _, err := r.ReleaseHandle(t.Context(), "host1", "h"); err != nil {
		t.Fatal(err)
	}
	steps := 1
	for more := true; more; steps++ {
		if more, err = r.dropPool(a); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.affinities(); len(got) != 1 || steps != 3 {
		t.Errorf("after %d steps: affinities %q", steps, got)
	}
	r.consistent()
}

// A block that is made between the look at the blocks of a pool and its end is
// noticed, with the address that it was made for; after the end none is made.
func TestDropPoolBesideAClaim(t *testing.T) {
	synctest.Test(t, dropPoolBesideAClaim) // conflicts cost nothing
}

func dropPoolBesideAClaim(t *testing.T) {
	a := pool("a=10.0.0.0/24/30")
	a.Key = "r/IPPool/-/a"
	r := newRig(t)
	var err error
	if a.Revision, err = r.memory.Txn(t.Context(), nil, []store.Op{{Key: a.Key}}); err != nil {
		t.Fatal(err)
	}
	r.settings.env.Pools = []Pool{a}
	drop := func(meanwhile func()) error {
		_, err := r.Do(t.Context(), "", func(_ context.Context, s *Step) error {
			if _, err := s.DropPool(&Pool{Name: a.Name, CIDR: a.CIDR}); err != nil {
				return err
			}
			s.Join([]store.Compare{{Key: a.Key, ModRevision: a.Revision}}, []store.Op{{Key: a.Key, Delete: true}})
			meanwhile()
			return nil
		})
		return err
	}
	if err := drop(func() { r.other().one(ask("host1", "h", 1)) }); !errors.Is(err, ErrPoolInUse) {
		t.Errorf("got %v", err)
	}
	r.consistent()
	if _, err := r.ReleaseHandle(t.Context(), "host1", "h"); err != nil {
		t.Fatal(err)
	}
	if err := drop(func() {}); err != nil {
		t.Error(err)
	}
	if got, err := r.other().Allocate(t.Context(), ask("host2", "i", 1)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("of a pool that is gone: %+v, %v", got, err)
	}
	if page, err := r.memory.List(t.Context(), "", store.ListOptions{}); err != nil || len(page.KVs) != 1 { // the claims of host1
		t.Errorf("left behind: %v, %v", page.KVs, err)
	}
}
