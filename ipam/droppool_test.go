package ipam

import (
	"errors"
	"testing"
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
