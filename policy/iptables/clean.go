package iptables

import (
	"context"
	"errors"

	"github.com/projectvrouter/vrouter/policy"
)

// Remains is what an earlier process may have left, in either flavour. It is
// for those who enforce policy by something else, and needs no iptables to be
// there: then there is nothing.
type Remains struct{ netns namespace }

var _ policy.Predecessor = Remains{}

// NewRemains is of a network namespace; nil: that of the process.
func NewRemains(netns *int) Remains {
	if netns == nil {
		return Remains{-1}
	}
	return Remains{namespace(*netns)}
}

// Clean implements policy.Predecessor.
func (r Remains) Clean(ctx context.Context) error {
	var errs []error
	found := false
	for _, flavour := range []Flavour{NFT, Legacy} {
		if t, err := newTools(flavour, r.netns); err == nil {
			found = true
			errs = append(errs, t.clean(ctx))
		}
	}
	if !found {
		return nil
	}
	sets, err := newIPSets(r.netns)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	defer sets.close()
	if _, err := sets.headers(); err != nil {
		return errors.Join(errs...) // a kernel without sets has none of ours
	}
	return errors.Join(append(errs, sets.clean(ctx))...)
}
