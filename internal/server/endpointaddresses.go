package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// holder is as what an endpoint holds its addresses.
type holder struct {
	handle string
	owner  ipam.Owner
}

func holderOf(id resource.ID) holder {
	handle, owner := ipam.EndpointHandle(id)
	return holder{handle, owner}
}

// addressesOn makes the endpoint hold the addresses that it shall have, and
// gives up those that it shall not. It returns them all, and those that were
// found for it, as text.
func (e *endpointWrite) addressesOn(_ context.Context, s *ipam.Step) (addresses []netip.Addr, taken []string, err error) {
	avoiding(s, e.avoid)
	addresses = slices.Clone(e.checked.Addresses)
	if len(addresses) == 0 {
		addresses = slices.Clone(e.base.had)
		found, err := e.allocate(s, addresses)
		if err != nil {
			return nil, nil, atPools("allocate.pools", e.change.addresses.GetPools(), err)
		}
		for _, a := range found {
			addresses = append(addresses, a.Address)
			taken = append(taken, a.Address.String())
		}
	}
	for i, a := range addresses[:len(addresses)-len(taken)] {
		if err := e.assign(s, a); needed(err) == nil && err != nil {
			return nil, nil, atField(networkPath(i), err)
		} else if err != nil {
			return nil, nil, err
		}
	}
	for _, a := range e.base.had {
		if slices.Contains(addresses, a) {
			continue
		}
		err := s.Release(ipam.Release{Address: a, Handle: e.holder.handle})
		if needed(err) != nil {
			return nil, nil, err
		} // else it was not held by the endpoint's own handle
	}
	return addresses, taken, nil
}

// networkPath is the path of an address of an endpoint.
func networkPath(i int) string { return fmt.Sprintf("spec.ipNetworks[%d]", i) }

// avoiding has a step give out none of some addresses.
func avoiding(s *ipam.Step, avoid []netip.Prefix) {
	if len(avoid) == 0 {
		return
	}
	env := *s.Env
	env.Reservations = slices.Concat(env.Reservations, avoid)
	s.Env = &env
}

// allocate finds addresses for an endpoint that has some already.
func (e *endpointWrite) allocate(s *ipam.Step, have []netip.Addr) ([]ipam.Allocation, error) {
	e.low = nil
	asked := e.change.addresses
	req := ipam.Request{Node: e.checked.Node, NodeLabels: e.base.labels.node, NamespaceLabels: e.base.labels.namespace,
		Pools: asked.GetPools(), Handle: e.holder.handle, Owner: e.holder.owner}
	if asked.GetIpv4() != 0 || asked.GetIpv6() != 0 {
		req.IPv4, req.IPv6 = int(asked.GetIpv4()), int(asked.GetIpv6())
		for _, a := range have {
			if a.Is4() && req.IPv4 > 0 {
				req.IPv4--
			} else if !a.Is4() && req.IPv6 > 0 {
				req.IPv6--
			}
		}
		if req.IPv4 == 0 && req.IPv6 == 0 {
			return nil, nil
		}
		if n := len(have) + req.IPv4 + req.IPv6; n > maxAddresses {
			return nil, invalid("allocate", "%d addresses, at most %d are allowed", n, maxAddresses)
		}
		return e.take(s, req)
	}
	if len(have) > 0 {
		return nil, nil
	}
	var found []ipam.Allocation
	var none *ipam.NoPoolError
	for _, families := range [][2]int{{1, 0}, {0, 1}} {
		req.IPv4, req.IPv6 = families[0], families[1]
		got, err := e.take(s, req)
		if why := (&ipam.NoPoolError{}); errors.As(err, &why) {
			if none != nil {
				why = none.Either(why)
			}
			none = why
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, got...)
	}
	if len(found) == 0 && none != nil {
		return nil, none
	}
	return found, nil
}

// keptBeside warns of addresses that an endpoint has and keeps, though they are
// of other pools than the request names, or more than it asks for: a request only
// adds to them, so that the same one again changes nothing.
func keptBeside(asked *vrouterv1.AddressRequest, had []netip.Addr, pools []ipam.Pool) []string {
	if asked == nil || len(had) == 0 {
		return nil
	}
	const otherwise = "; unregister the endpoint, or state its addresses, to have it otherwise"
	var warnings, elsewhere []string
	count := make(map[ipam.Family]int32)
	for _, a := range had {
		count[ipam.FamilyOf(a)]++
		if !slices.ContainsFunc(pools, func(p ipam.Pool) bool {
			return p.CIDR.Contains(a) && (slices.Contains(asked.Pools, p.Name) || slices.Contains(asked.Pools, p.CIDR.String()))
		}) {
			elsewhere = append(elsewhere, a.String())
		}
	}
	if len(asked.Pools) > 0 && len(elsewhere) > 0 {
		warnings = append(warnings, fmt.Sprintf("allocate.pools: the endpoint had, and keeps, %s, not of %s%s",
			strings.Join(elsewhere, ", "), strings.Join(asked.Pools, ", "), otherwise))
	}
	if asked.GetIpv4() == 0 && asked.GetIpv6() == 0 {
		return warnings
	}
	for _, f := range []struct {
		field  string
		family ipam.Family
		wanted int32
	}{{"ipv4", ipam.IPv4, asked.GetIpv4()}, {"ipv6", ipam.IPv6, asked.GetIpv6()}} {
		if n := count[f.family]; n > f.wanted {
			warnings = append(warnings, fmt.Sprintf("allocate.%s: the endpoint had, and keeps, %d %s addresses, not %d%s",
				f.field, n, f.family, f.wanted, otherwise))
		}
	}
	return warnings
}

func (e *endpointWrite) take(s *ipam.Step, req ipam.Request) ([]ipam.Allocation, error) {
	result, err := s.Allocate(req)
	if bad := (&ipam.RequestError{}); errors.As(err, &bad) {
		return nil, badRequest(bad, "allocate.")
	}
	if err != nil {
		return nil, err
	}
	if result.More {
		return nil, invalid("allocate", "more addresses than one transaction takes")
	}
	if result.Low {
		e.low = lowFor(e.low, req)
	}
	return result.Allocations, nil
}

// lowFor adds the families of a request to those that a reserve is wanted of.
func lowFor(low *ipam.Request, req ipam.Request) *ipam.Request {
	if low != nil {
		req.IPv4, req.IPv6 = max(req.IPv4, low.IPv4), max(req.IPv6, low.IPv6)
	}
	return &req
}

// assign makes the endpoint hold an address that it states. Addresses outside
// all pools are nobody's to manage. What the endpoint has had before it keeps,
// whoever's handle holds it, and whatever the settings say today: it may be
// older than the blocks. What another handle holds must not be released by that
// meanwhile.
func (e *endpointWrite) assign(s *ipam.Step, a netip.Addr) error {
	got, err := s.Assign(ipam.AssignRequest{Address: a, Node: e.checked.Node, NodeLabels: e.base.labels.node,
		Handle: e.holder.handle, Owner: e.holder.owner, HeldBy: e.change.heldBy})
	switch {
	case errors.Is(err, ipam.ErrNotInPool):
		return nil
	case slices.Contains(e.base.had, a):
		return needed(err)
	case err == nil && got.Handle != e.holder.handle:
		return s.Renew(got.Handle)
	}
	return err
}

// needed returns err if it asks for more to be read, or is no refusal of
// address management at all.
func needed(err error) error {
	for _, refusal := range []error{ipam.ErrNotInPool, ipam.ErrAddressInUse, ipam.ErrNotAllocated, ipam.ErrStale,
		ipam.ErrBlockInUse, ipam.ErrBadBlock, ipam.ErrBlockLimit, ipam.ErrStrictAffinity, ipam.ErrHostLocal,
		ipam.ErrNoAutoAllocate, ipam.ErrPoolsExhausted, ipam.ErrHandleOwner} {
		if errors.Is(err, refusal) {
			return nil
		}
	}
	return err
}

// maxPassed is how many addresses of a block are looked at when one of them
// turns out to be held without the block knowing.
const maxPassed = 256

// passOver notes an address that was found free and is held by an endpoint from
// before there were blocks, with others around it, so that the next try finds
// another one.
func (e *endpointWrite) passOver(ctx context.Context, text string) error {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return fmt.Errorf("pass over %s: %w", text, err)
	}
	for range maxPassed {
		kv, err := e.holding(ctx, store.AddressKey(a))
		if err != nil {
			return err
		}
		if kv.ModRevision == 0 {
			break
		}
		e.avoid = append(e.avoid, netip.PrefixFrom(a, a.BitLen()))
		a = a.Next()
	}
	return &store.ConflictError{Key: store.AddressKey(a)}
}

// releaseAll gives back all that a handle holds, as far as one transaction goes.
// What cannot be read keeps no endpoint from going. A handle that is not there
// must not be there when that is written either: an endpoint that was made since
// would leave what it holds.
func releaseAll(s *ipam.Step, handle string) (more bool, err error) {
	released, err := s.ReleaseHandle(handle)
	switch {
	case errors.Is(err, ipam.ErrNoHandle):
		s.Join([]store.Compare{{Key: store.HandleKey(handle)}}, nil)
		return false, nil
	case errors.Is(err, ipam.ErrBadBlock):
		return false, nil
	case err != nil:
		return false, err
	}
	return released.More, nil
}
