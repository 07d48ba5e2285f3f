package server

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Show tells how much of each pool is in use, or who holds an address, or what
// a handle holds.
func (s *addresses) Show(ctx context.Context, in *vrouterv1.ShowRequest) (*vrouterv1.ShowResponse, error) {
	env, err := ipam.Stored{Store: s.writer.store}.Env(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case in.GetIp() != "" && in.GetHandle() != "":
		return nil, invalid("handle", "must be empty when an address is given")
	case in.GetIp() != "":
		return s.showAddress(ctx, env, in.GetIp())
	case in.GetHandle() != "":
		return s.showHandle(ctx, env, in.GetHandle())
	}
	contents, err := ipam.ReadContents(ctx, s.writer.store)
	if err != nil {
		return nil, err
	}
	report := contents.Check(env)
	out := &vrouterv1.ShowResponse{Revision: report.Revision, Pools: usage(report)}
	if in.GetBlocks() {
		addBlocks(out.Pools, contents)
	}
	return out, nil
}

func usage(report *ipam.Report) []*vrouterv1.PoolUsage {
	var out []*vrouterv1.PoolUsage
	for _, u := range report.Pools {
		out = append(out, &vrouterv1.PoolUsage{Pool: u.Pool, Cidr: u.CIDR.String(), Blocks: int32(u.Blocks),
			InUse: int64(u.InUse), Free: int64(u.Free), Reserved: u.Reserved.String(), Disabled: u.Disabled, Manual: u.Manual})
	}
	return out
}

// addBlocks lists blocks in the pools that they are of.
func addBlocks(pools []*vrouterv1.PoolUsage, contents *ipam.Contents) {
	affinities := make(map[netip.Prefix]*ipam.BlockAffinity)
	for _, a := range contents.Affinities {
		if b := affinities[a.CIDR]; b == nil || !b.Assigned {
			affinities[a.CIDR] = a
		}
	}
	for _, b := range contents.Blocks {
		i := slices.IndexFunc(pools, func(p *vrouterv1.PoolUsage) bool {
			cidr, err := netip.ParsePrefix(p.GetCidr())
			return err == nil && cidr.Contains(b.CIDR.Addr())
		})
		if i < 0 {
			continue
		}
		u := &vrouterv1.BlockUsage{Cidr: b.CIDR.String(), Affinity: string(b.Affinity), InUse: int32(b.Size() - b.Free()), Free: int32(b.Free())}
		if a := affinities[b.CIDR]; a != nil {
			u.State, u.Assigned = string(a.State), a.Assigned
		}
		pools[i].Block = append(pools[i].Block, u)
	}
}

// showAddress tells all that is known of an address.
func (s *addresses) showAddress(ctx context.Context, env *ipam.Env, text string) (*vrouterv1.ShowResponse, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, invalid("ip", "%q is not an IP address", text)
	}
	a = a.Unmap().WithZone("")
	out := &vrouterv1.AddressHolder{Address: a.String(), Reserved: env.Reserved(a)}
	kv, err := s.writer.holding(ctx, store.AddressKey(a))
	if err != nil {
		return nil, err
	}
	out.Endpoint = string(kv.Value)
	if out.Node, err = s.placeOf(ctx, out.Endpoint); err != nil {
		return nil, err
	}
	for _, p := range env.Pools {
		if !p.CIDR.Contains(a) {
			continue
		}
		out.Pool = p.Name
		b, err := s.block(ctx, netip.PrefixFrom(a, p.BlockSize).Masked())
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		out.Block, out.Affinity = b.CIDR.String(), string(b.Affinity)
		if h, ok := b.Holding(a); ok {
			out.Handle, out.Sequence, out.Attributes = h.Handle, h.Sequence, h.Secondary
		} else if until := b.CoolingUntil(a, env.Now, env.Config.Cooldown); !until.IsZero() {
			out.CoolingUntil = until.UTC().Format(time.RFC3339)
		}
	}
	if out.Handle != "" {
		h, err := s.handle(ctx, out.Handle)
		if err != nil {
			return nil, err
		}
		if h != nil {
			out.OwnerKind, out.Owner = string(h.Owner.Kind), h.Owner.Key
		}
	}
	return &vrouterv1.ShowResponse{Address: out}, nil
}

// placeOf returns the node of the endpoint that a key names; empty where that is
// not to be had.
func (s *addresses) placeOf(ctx context.Context, key string) (string, error) {
	kind, _, _, err := store.ParseResourceKey(key)
	if err != nil || kind != string(resource.KindWorkloadEndpoint) {
		return "", nil
	}
	kv, err := s.writer.holding(ctx, key)
	if err != nil || kv.ModRevision == 0 {
		return "", err
	}
	msg, err := resource.Decode(resource.KindWorkloadEndpoint, kv.Value, kv.ModRevision)
	if err != nil {
		return "", nil // every agent complains of it
	}
	return msg.(*vrouterv1.WorkloadEndpoint).GetSpec().GetNode(), nil
}

// showHandle tells what a handle holds.
func (s *addresses) showHandle(ctx context.Context, env *ipam.Env, id string) (*vrouterv1.ShowResponse, error) {
	h, err := s.handle(ctx, id)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, atField("handle", &ipam.HandleError{Kind: ipam.ErrNoHandle, ID: id})
	}
	out := &vrouterv1.HandleHoldings{Handle: h.ID, OwnerKind: string(h.Owner.Kind), Owner: h.Owner.Key}
	var cidrs []netip.Prefix
	for cidr := range h.Blocks {
		cidrs = append(cidrs, cidr)
	}
	slices.SortFunc(cidrs, netip.Prefix.Compare)
	for _, cidr := range cidrs {
		b, err := s.block(ctx, cidr)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue // released meanwhile
		}
		pool := ""
		for _, p := range env.Pools {
			if p.CIDR.Contains(cidr.Addr()) {
				pool = p.Name
			}
		}
		for _, held := range b.Holdings() {
			if held.Handle == id {
				out.Allocations = append(out.Allocations, &vrouterv1.Allocation{Address: held.Address.String(), Block: cidr.String(),
					Pool: pool, Handle: id, Sequence: held.Sequence, Existed: true})
			}
		}
	}
	return &vrouterv1.ShowResponse{Handle: out}, nil
}

// block reads a block; nil when there is none.
func (s *addresses) block(ctx context.Context, cidr netip.Prefix) (*ipam.Block, error) {
	kv, err := s.writer.holding(ctx, store.BlockKey(cidr))
	if err != nil || kv.ModRevision == 0 {
		return nil, err
	}
	b, err := ipam.DecodeBlock(kv.Value)
	if err != nil {
		return nil, &ipam.BlockError{Kind: ipam.ErrBadBlock, CIDR: cidr, Reason: err.Error()}
	}
	return b, nil
}

// handle reads a handle; nil when there is none.
func (s *addresses) handle(ctx context.Context, id string) (*ipam.Handle, error) {
	kv, err := s.writer.holding(ctx, store.HandleKey(id))
	if err != nil || kv.ModRevision == 0 {
		return nil, err
	}
	return ipam.DecodeHandle(kv.Value)
}
