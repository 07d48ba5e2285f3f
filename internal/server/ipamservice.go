package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// addresses is IPAMService.
type addresses struct {
	vrouterv1.UnimplementedIPAMServiceServer
	writer *writer
	node   string
	nodes  *nodes // asked for their routes
}

// external is the owner of all that is taken here.
func external() ipam.Owner { return ipam.Owner{Kind: ipam.OwnerExternal} }

func (s *addresses) nodeOf(node string) string {
	if node == "" {
		return s.node
	}
	return node
}

// do runs work as one transaction.
func (s *addresses) do(ctx context.Context, node string, work func(context.Context, *ipam.Step) error) error {
	_, err := s.writer.ipam.Do(ctx, node, work)
	return err
}

// Allocate gives out addresses, in as few transactions as hold them.
func (s *addresses) Allocate(ctx context.Context, in *vrouterv1.AllocateRequest) (*vrouterv1.AllocateResponse, error) {
	req := ipam.Request{
		Node: s.nodeOf(in.GetNode()), Use: ipam.Use(in.GetUse()), IPv4: int(in.GetIpv4()), IPv6: int(in.GetIpv6()),
		Pools: in.GetPools(), MaxBlocks: int(in.GetMaxBlocks()), Handle: in.GetHandle(), Owner: external(),
		Attributes: in.GetAttributes(), Partial: in.GetPartial(), Resume: in.GetResume(),
	}
	if in.GetNamespace() != "" && len(in.GetScopeLabels()) > 0 {
		return nil, invalid("scopeLabels", "must be empty when a namespace is given")
	}
	u := &unheld{writer: s.writer, namespace: in.GetNamespace(), labels: labels{namespace: in.GetScopeLabels()}}
	result, err := s.writer.ipam.AllocateBy(ctx, req, u.allocate)
	if err != nil {
		return nil, atPools("pools", req.Pools, atHandle(err))
	}
	if result.Low {
		req.NodeLabels, req.NamespaceLabels = u.labels.node, u.labels.namespace
		s.writer.spares.keep(req)
	}
	out := &vrouterv1.AllocateResponse{}
	for _, a := range result.Allocations {
		out.Allocations = append(out.Allocations, showAllocation(a))
	}
	for _, short := range result.Short {
		out.Short = append(out.Short, &vrouterv1.Shortage{Family: short.Family.String(), Wanted: int32(short.Wanted),
			Got: int32(short.Got), Reason: short.Kind.Error(), Help: short.Help()})
	}
	return out, nil
}

// atPools names the field with the pools that a request asks for, if it does,
// where they are what it is refused for.
func atPools(path string, asked []string, err error) error {
	if none := (&ipam.NoPoolError{}); len(asked) > 0 && errors.As(err, &none) {
		return atField(path, err)
	}
	return err
}

// unheld gives out addresses that no endpoint has. One may have some from before
// there were blocks.
type unheld struct {
	*writer
	namespace string // empty: none
	labels    labels

	compared bool           // a transaction was to tell whether endpoints have any
	avoid    []netip.Prefix // endpoints have them
}

// allocate has the first transaction tell whether endpoints have any of the
// addresses. When it did, or they are too many, they are looked for before: after
// the pools were read no endpoint takes one without its block knowing.
func (u *unheld) allocate(ctx context.Context, s *ipam.Step, req ipam.Request) (*ipam.Result, error) {
	if err := u.labels.read(ctx, u.writer, s.Env, req.Node, u.namespace); err != nil {
		return nil, err
	}
	req.NodeLabels, req.NamespaceLabels = u.labels.node, u.labels.namespace
	avoiding(s, u.avoid)
	result, err := s.Allocate(req)
	if err != nil {
		return nil, err
	}
	var given []netip.Addr
	for _, a := range result.Allocations {
		if !a.Existed {
			given = append(given, a.Address)
		}
	}
	if !u.compared && s.Fits(len(given)) {
		u.compared = true
		s.Join(noHolder(given), nil)
		return result, nil
	}
	held, err := u.holdings(ctx, given)
	if err != nil || len(held) == 0 {
		return result, err
	}
	for _, kv := range held {
		if a, err := store.ParseAddressKey(kv.Key); err == nil {
			u.avoid = append(u.avoid, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return nil, &store.ConflictError{Key: held[0].Key, Have: held[0]}
}

func showAllocation(a ipam.Allocation) *vrouterv1.Allocation {
	return &vrouterv1.Allocation{Address: a.Address.String(), Block: a.Block.String(), Pool: a.Pool, Handle: a.Handle,
		Sequence: a.Sequence, Borrowed: a.Borrowed, Existed: a.Existed}
}

// Assign gives out one address. One that an endpoint has from before there were
// blocks is not free.
func (s *addresses) Assign(ctx context.Context, in *vrouterv1.AssignRequest) (*vrouterv1.AssignResponse, error) {
	a, err := netip.ParseAddr(in.GetAddress())
	if err != nil {
		return nil, invalid("address", "%v", err)
	}
	req := ipam.AssignRequest{Address: a, Node: s.nodeOf(in.GetNode()), MaxBlocks: int(in.GetMaxBlocks()),
		Handle: in.GetHandle(), Owner: external(), Attributes: in.GetAttributes(), HeldBy: in.GetHeldBy()}
	var got ipam.Allocation
	var l labels
	err = s.do(ctx, req.Node, func(ctx context.Context, step *ipam.Step) (err error) {
		if err := l.read(ctx, s.writer, step.Env, req.Node, ""); err != nil {
			return err
		}
		req.NodeLabels = l.node
		if got, err = step.Assign(req); err != nil || got.Existed {
			return err
		}
		kv, err := s.writer.holding(ctx, store.AddressKey(a))
		if err == nil && kv.ModRevision != 0 {
			err = held(kv)
		}
		step.Join([]store.Compare{{Key: store.AddressKey(a)}}, nil)
		return err
	})
	if err != nil {
		return nil, atField(assignField(err), err)
	}
	return &vrouterv1.AssignResponse{Allocation: showAllocation(got)}, nil
}

// assignField is the field of a request for one address that it is refused for;
// none if it is for another reason.
func assignField(err error) string {
	var (
		handle *ipam.HandleError
		inUse  *ipam.InUseError
		held   *heldError
		none   *ipam.AddressError
		short  *ipam.ExhaustedError
		block  *ipam.BlockError
	)
	switch {
	case errors.As(err, &handle):
		return "handle"
	case errors.As(err, &inUse), errors.As(err, &held), errors.As(err, &none), errors.As(err, &short), errors.As(err, &block):
		return "address"
	}
	return ""
}

// maxReleases is how many addresses one call gives back: each is compared with
// the endpoints, and may touch a block, an affinity and a handle.
const maxReleases = 24

// Release gives back addresses that no endpoint has, all or none.
func (s *addresses) Release(ctx context.Context, in *vrouterv1.ReleaseRequest) (*vrouterv1.ReleaseResponse, error) {
	if n := len(in.GetAddresses()); n == 0 || n > maxReleases {
		return nil, invalid("addresses", "%d addresses, 1 to %d are allowed", n, maxReleases)
	}
	bad := &resource.Invalid{}
	var releases []ipam.Release
	var addresses []netip.Addr
	for i, r := range in.GetAddresses() {
		a, err := netip.ParseAddr(r.GetAddress())
		if err != nil {
			bad.Problems = append(bad.Problems, resource.Problem{Path: fmt.Sprintf("addresses[%d].address", i), Reason: err.Error()})
		}
		a = a.Unmap().WithZone("")
		addresses = append(addresses, a)
		releases = append(releases, ipam.Release{Address: a, Handle: r.GetHandle(), Sequence: r.GetSequence()})
	}
	if len(bad.Problems) > 0 {
		return nil, bad
	}
	var none []netip.Addr
	err := s.do(ctx, "", func(ctx context.Context, step *ipam.Step) (err error) {
		if none, err = step.ReleaseAll(releases); err != nil {
			return atReleased(addresses, err)
		}
		step.Join(noHolder(addresses), nil)
		return atReleased(addresses, s.freeOfEndpoints(ctx, addresses))
	})
	if err != nil {
		return nil, err
	}
	out := &vrouterv1.ReleaseResponse{}
	for _, a := range none {
		out.Unallocated = append(out.Unallocated, a.String())
	}
	return out, nil
}

// atReleased names the field of a request to release addresses that it is
// refused for, if it is for that of one.
func atReleased(addresses []netip.Addr, err error) error {
	var (
		stale   *ipam.StaleError
		address *ipam.AddressError
		held    *stateError
		a       netip.Addr
		field   = "address"
	)
	switch {
	case errors.As(err, &stale):
		if a, field = stale.Address, "sequence"; stale.WantHandle != "" && stale.WantHandle != stale.Handle {
			field = "handle"
		}
	case errors.As(err, &address):
		a = address.Address
	case errors.As(err, &held):
		a, _ = netip.ParseAddr(held.subject) // one of the addresses, or invalid
	}
	if i := slices.Index(addresses, a); i >= 0 {
		return atField(fmt.Sprintf("addresses[%d].%s", i, field), err)
	}
	return err
}

// freeOfEndpoints refuses to release what endpoints have.
func (s *addresses) freeOfEndpoints(ctx context.Context, addresses []netip.Addr) error {
	kvs, err := s.writer.holdings(ctx, addresses)
	if err != nil || len(kvs) == 0 {
		return err
	}
	return &stateError{"IN_USE", shownAddress(kvs[0].Key), held(kvs[0]).Error() + ": remove it from the endpoint"}
}

// ReleaseByHandle gives back all that a handle holds.
func (s *addresses) ReleaseByHandle(ctx context.Context, in *vrouterv1.ReleaseByHandleRequest) (*vrouterv1.ReleaseByHandleResponse, error) {
	if in.GetHandle() == "" {
		return nil, invalid("handle", "is needed")
	}
	out := &vrouterv1.ReleaseByHandleResponse{}
	for {
		var got *ipam.Released
		err := s.do(ctx, "", func(ctx context.Context, step *ipam.Step) (err error) {
			if got, err = step.ReleaseHandle(in.GetHandle()); err != nil {
				return atHandle(err)
			}
			if err := s.unowned(ctx, step, in.GetHandle()); err != nil {
				return err
			}
			// They may be many, and so no part of the transaction.
			return s.freeOfEndpoints(ctx, slices.Concat(got.Addresses, got.Left))
		})
		if err != nil {
			return nil, err
		}
		for _, a := range got.Addresses {
			out.Addresses = append(out.Addresses, a.String())
		}
		if !got.More {
			return out, nil
		}
	}
}

// atHandle names the handle of a request where that is what it is refused for.
func atHandle(err error) error {
	if handle := (&ipam.HandleError{}); errors.As(err, &handle) {
		return atField("handle", err)
	}
	return err
}

// unowned refuses to release a handle whose owner is there.
func (s *addresses) unowned(ctx context.Context, step *ipam.Step, handle string) error {
	kv, err := s.writer.holding(ctx, store.HandleKey(handle))
	if err != nil || kv.ModRevision == 0 {
		return err
	}
	h, err := ipam.DecodeHandle(kv.Value)
	if err != nil || h.Owner.Key == "" {
		return err
	}
	owner, err := s.writer.holding(ctx, h.Owner.Key)
	if err != nil {
		return err
	}
	if owner.ModRevision != 0 {
		return atField("handle", &stateError{"IN_USE", handle, fmt.Sprintf("handle %s is of %s, which is there: remove that", handle, h.Owner)})
	}
	step.Join([]store.Compare{{Key: h.Owner.Key}}, nil)
	return nil
}
