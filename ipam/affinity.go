package ipam

import (
	"fmt"
	"net/netip"
	"strings"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// State is how far a node's claim to a block is.
type State string

// The states of a BlockAffinity.
const (
	// Pending: the block is the node's reserve, and empty. Routing ignores it;
	// whoever needs a block may take it.
	Pending State = "pending"
	// Confirmed: the node gives out addresses of the block.
	Confirmed State = "confirmed"
	// PendingDeletion: no new addresses come from the block; the affinity goes
	// with the last one.
	PendingDeletion State = "pendingDeletion"
)

// BlockAffinity says that a node has a block: the index of blocks by node. The
// block itself decides.
type BlockAffinity struct {
	Node  string // or "virtual:NAME"
	CIDR  netip.Prefix
	State State
	// Assigned: an operator or orchestrator gave the node this block (a podCIDR).
	// Such a node uses no other of the family, and nobody else uses this one.
	Assigned bool

	unknown []byte
}

func (a *BlockAffinity) encode() ([]byte, error) {
	m := &vrouterv1.BlockAffinitySpec{
		State: proto.String(string(a.State)),
		Node:  proto.String(strings.TrimPrefix(a.Node, virtualType)),
		Type:  proto.String("host"),
		Cidr:  proto.String(a.CIDR.String()),
	}
	if strings.HasPrefix(a.Node, virtualType) {
		m.Type = proto.String("virtual")
	}
	if a.Assigned {
		m.Assigned = proto.Bool(true)
	}
	m.ProtoReflect().SetUnknown(a.unknown)
	data, err := marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode affinity of %s to %s: %w", a.Node, a.CIDR, err)
	}
	return data, nil
}

// DecodeAffinity reads an affinity from the store. Unknown fields are kept.
func DecodeAffinity(data []byte) (*BlockAffinity, error) {
	var m vrouterv1.BlockAffinitySpec
	if err := proto.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("decode affinity: %w", err)
	}
	cidr, err := parseBlock(m.GetCidr())
	if err != nil {
		return nil, fmt.Errorf("decode affinity: %w", err)
	}
	a := &BlockAffinity{Node: m.GetNode(), CIDR: cidr, State: State(m.GetState()), Assigned: m.GetAssigned(),
		unknown: m.ProtoReflect().GetUnknown()}
	if m.GetType() == "virtual" {
		a.Node = virtualType + a.Node
	}
	switch a.State {
	case Pending, Confirmed, PendingDeletion:
		return a, nil
	}
	return nil, fmt.Errorf("decode affinity of %s to %s: no state %q", a.Node, cidr, a.State)
}
