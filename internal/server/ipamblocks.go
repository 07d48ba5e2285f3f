package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// AssignBlock gives a node a block.
func (s *addresses) AssignBlock(ctx context.Context, in *vrouterv1.AssignBlockRequest) (*vrouterv1.AssignBlockResponse, error) {
	node, cidr, err := nodeBlock(in.GetNode(), in.GetCidr())
	if err != nil {
		return nil, err
	}
	err = s.do(ctx, node, func(_ context.Context, step *ipam.Step) error { return step.AssignBlock(node, cidr) })
	if err != nil {
		return nil, atBlock(err)
	}
	return &vrouterv1.AssignBlockResponse{}, nil
}

// ReleaseBlock ends a node's affinity to a block.
func (s *addresses) ReleaseBlock(ctx context.Context, in *vrouterv1.ReleaseBlockRequest) (*vrouterv1.ReleaseBlockResponse, error) {
	node, cidr, err := nodeBlock(in.GetNode(), in.GetCidr())
	if err != nil {
		return nil, err
	}
	mode := ipam.IfEmpty
	if in.GetDrain() {
		mode = ipam.Drain
	}
	err = s.do(ctx, node, func(_ context.Context, step *ipam.Step) error { return step.ReleaseBlock(node, cidr, mode) })
	if err != nil {
		return nil, atBlock(err)
	}
	return &vrouterv1.ReleaseBlockResponse{}, nil
}

// atBlock names the block of a request where that is what it is refused for.
func atBlock(err error) error {
	if block := (&ipam.BlockError{}); errors.As(err, &block) {
		return atField("cidr", err)
	}
	return err
}

func nodeBlock(node, text string) (string, netip.Prefix, error) {
	bad := &resource.Invalid{}
	if node == "" {
		bad.Problems = append(bad.Problems, resource.Problem{Path: "node", Reason: "is needed"})
	}
	cidr, err := netip.ParsePrefix(text)
	if err == nil && cidr != cidr.Masked() {
		err = fmt.Errorf("%s has bits set beyond its prefix length; the block is %s", cidr, cidr.Masked())
	}
	if err != nil {
		bad.Problems = append(bad.Problems, resource.Problem{Path: "cidr", Reason: err.Error()})
	}
	if len(bad.Problems) > 0 {
		return "", cidr, bad
	}
	return node, cidr, nil
}

// maxParts is into how many pools one may be split at once.
const maxParts = 32

// SplitPool puts parts of a pool in its place.
func (s *addresses) SplitPool(ctx context.Context, in *vrouterv1.SplitPoolRequest) (*vrouterv1.SplitPoolResponse, error) {
	if n := in.GetParts(); n < 2 || n > maxParts || n&(n-1) != 0 {
		return nil, invalid("parts", "%d is not a power of two between 2 and %d", n, maxParts)
	}
	if in.GetPool() == "" {
		return nil, invalid("pool", "is needed")
	}
	out := &vrouterv1.SplitPoolResponse{}
	err := retried(ctx, func() error {
		out.Pools = nil
		return s.writer.splitPool(ctx, in.GetPool(), int(in.GetParts()), &out.Pools)
	})
	if missing := (&missingError{}); errors.As(err, &missing) {
		err = atField("pool", err)
	}
	if err != nil {
		return nil, fmt.Errorf("split pool %s: %w", in.GetPool(), err)
	}
	return out, nil
}

func (w *writer) splitPool(ctx context.Context, name string, parts int, names *[]string) error {
	id := resource.ID{Kind: resource.KindIPPool, Name: name}
	var t txn
	old, err := w.removal(ctx, &t, id, "")
	if err != nil {
		return err
	}
	pool := checkedPool(old)
	if pool == nil {
		return &stateError{"UNREADABLE", id.String(), "the stored pool does not convert: repair it first"}
	}
	cut, err := ipam.SplitPool(ipam.PoolOf(pool), parts)
	if err != nil {
		return invalid("parts", "%v", err)
	}
	guard, err := w.holding(ctx, settingsGuard)
	if err != nil {
		return err
	}
	t.compare(settingsGuard, guard.ModRevision)
	for _, part := range cut {
		msg := proto.Clone(old.msg).(*vrouterv1.IPPool)
		msg.Metadata.Name, msg.Metadata.Uid, msg.Metadata.CreationTimestamp = proto.String(part.Name), nil, nil
		msg.Spec.Cidr = proto.String(part.CIDR.String())
		if _, err := accept(msg); err != nil {
			return err
		}
		partID := resource.IDOf(msg)
		there, err := w.stored(ctx, partID)
		if err == nil && there.revision != 0 {
			err = &existsError{partID}
		}
		if err != nil {
			return err
		}
		value, err := resource.Encode(resource.Successor(msg, nil))
		if err != nil {
			return err
		}
		t.compare(resourceKey(partID), 0)
		t.put(resourceKey(partID), value)
		*names = append(*names, part.Name)
	}
	_, err = w.commit(ctx, w.store, t, false)
	return err
}
