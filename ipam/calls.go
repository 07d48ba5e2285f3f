package ipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Allocate gives out addresses, in as few transactions as hold them. If a
// request that is not Partial cannot be met, or an error ends it, what this
// call took is given back.
func (c *Client) Allocate(ctx context.Context, req Request) (*Result, error) {
	return c.AllocateBy(ctx, req, func(_ context.Context, s *Step, req Request) (*Result, error) { return s.Allocate(req) })
}

// AllocateBy is Allocate by work that calls Step.Allocate for each transaction,
// and may join it or refuse what came of it.
func (c *Client) AllocateBy(ctx context.Context, req Request,
	work func(context.Context, *Step, Request) (*Result, error)) (*Result, error) {
	var all Result
	wanted := map[Family]int{IPv4: req.IPv4, IPv6: req.IPv6}
	for {
		var got *Result
		_, err := c.DoShared(ctx, req.Node, func(ctx context.Context, s *Step) (err error) {
			got, err = work(ctx, s, req)
			return err
		})
		if err != nil {
			return nil, errors.Join(err, c.undo(ctx, req.Node, all.Allocations))
		}
		all.Allocations = append(all.Allocations, got.Allocations...)
		for _, short := range got.Short { // of the whole, not of its last part
			short.Got += wanted[short.Family] - short.Wanted
			short.Wanted = wanted[short.Family]
		}
		all.Short, all.Low = got.Short, got.Low
		if !got.More {
			return &all, nil
		}
		req.Resume = false                  // the first part has counted what there was
		for _, a := range got.Allocations { // a handle may hold more than it asks for
			if a.Address.Is4() {
				req.IPv4 = max(0, req.IPv4-1)
			} else {
				req.IPv6 = max(0, req.IPv6-1)
			}
		}
	}
}

// KeepSpare keeps a reserve for a node, see Step.KeepSpare. It is to be called
// when an allocation was Low, after its caller has been answered.
func (c *Client) KeepSpare(ctx context.Context, req Request) error {
	_, err := c.Do(ctx, req.Node, func(_ context.Context, s *Step) error {
		_, err := s.KeepSpare(req)
		return err
	})
	return err
}

// undo gives back what a call took before it failed.
func (c *Client) undo(ctx context.Context, node string, took []Allocation) error {
	if len(took) == 0 {
		return nil
	}
	releases := make([]Release, 0, len(took))
	for _, a := range took {
		if !a.Existed {
			releases = append(releases, Release{Address: a.Address, Handle: a.Handle, Sequence: a.Sequence, Block: a.Block})
		}
	}
	// The context may be what has ended; what was taken must go all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := c.Release(ctx, node, releases); err != nil {
		return fmt.Errorf("give back %d addresses of handle %s: %w", len(took), took[0].Handle, err)
	}
	return nil
}

// Assign gives out one address.
func (c *Client) Assign(ctx context.Context, req AssignRequest) (Allocation, error) {
	var out Allocation
	_, err := c.Do(ctx, req.Node, func(_ context.Context, s *Step) (err error) {
		out, err = s.Assign(req)
		return err
	})
	return out, err
}

// Release gives back addresses and returns those that nobody holds. The node
// only says whose turn it is; empty: nobody's.
func (c *Client) Release(ctx context.Context, node string, releases []Release) (unallocated []netip.Addr, err error) {
	for len(releases) > 0 {
		n := min(len(releases), maxReleases)
		var none []netip.Addr
		_, err := c.Do(ctx, node, func(_ context.Context, s *Step) (err error) {
			none, err = s.ReleaseAll(releases[:n])
			return err
		})
		if err != nil {
			return unallocated, err
		}
		unallocated = append(unallocated, none...)
		releases = releases[n:]
	}
	return unallocated, nil
}

// maxReleases is how many addresses one transaction gives back: each may touch
// a block, its affinity and a handle.
const maxReleases = maxKeys / 3

// ReleaseHandle gives back all addresses of a handle.
func (c *Client) ReleaseHandle(ctx context.Context, node, id string) ([]netip.Addr, error) {
	var all []netip.Addr
	for {
		var got *Released
		_, err := c.Do(ctx, node, func(_ context.Context, s *Step) (err error) {
			got, err = s.ReleaseHandle(id)
			return err
		})
		if err != nil {
			return all, err
		}
		all = append(all, got.Addresses...)
		if !got.More {
			return all, nil
		}
	}
}
