package ipam

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// OwnerKind says what kind of thing a handle's addresses are for.
type OwnerKind string

// The kinds of owners.
const (
	OwnerEndpoint     OwnerKind = "endpoint"     // a WorkloadEndpoint
	OwnerTunnel       OwnerKind = "tunnel"       // a Node's tunnel
	OwnerLoadBalancer OwnerKind = "loadBalancer" // a Service
	OwnerExternal     OwnerKind = "external"     // somebody outside: never collected
)

// Owner is what a handle's addresses are for.
type Owner struct {
	Kind OwnerKind
	// Key in the store that exists as long as the owner does; empty for what is
	// external.
	Key string
}

// String is the kind and the name of the owner: endpoint default/docker/web/eth0.
func (o Owner) String() string {
	name := o.Key
	if _, namespace, n, err := store.ParseResourceKey(o.Key); err == nil {
		name = strings.TrimPrefix(namespace+"/"+n, "/")
	}
	return strings.TrimSpace(string(o.Kind) + " " + name)
}

// Handle is a holder of addresses: the index of blocks by holder.
type Handle struct {
	ID     string
	Owner  Owner
	Blocks map[netip.Prefix]int // number of addresses; not to be changed

	unknown []byte
}

// EndpointHandle returns as what an endpoint holds its addresses:
// NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT, cut and told apart by a digest where
// that is too long. The node is no part of it: a move keeps the addresses.
func EndpointHandle(id resource.ID) (string, Owner) {
	handle := id.Namespace + "/" + id.Name
	if len(handle) > MaxHandle {
		sum := sha256.Sum256([]byte(handle))
		digest := hex.EncodeToString(sum[:])
		handle = handle[:MaxHandle-len(digest)-1] + "#" + digest
	}
	return handle, Owner{Kind: OwnerEndpoint, Key: store.ResourceKey(string(id.Kind), id.Namespace, id.Name)}
}

// add returns the handle with n more addresses in a block, or fewer; nil when
// none is left.
func (h *Handle) add(block netip.Prefix, n int) *Handle {
	c := *h
	c.Blocks = maps.Clone(h.Blocks)
	if c.Blocks == nil {
		c.Blocks = make(map[netip.Prefix]int)
	}
	if c.Blocks[block] += n; c.Blocks[block] <= 0 {
		delete(c.Blocks, block)
	}
	if len(c.Blocks) == 0 {
		return nil
	}
	return &c
}

// blocks returns the blocks of a handle in order.
func (h *Handle) blocks() []netip.Prefix {
	return slices.SortedFunc(maps.Keys(h.Blocks), netip.Prefix.Compare)
}

func (h *Handle) encode() ([]byte, error) {
	m := &vrouterv1.IPAMHandleSpec{HandleId: proto.String(h.ID), Block: make(map[string]uint32, len(h.Blocks))}
	for cidr, n := range h.Blocks {
		m.Block[cidr.String()] = uint32(n)
	}
	if h.Owner.Kind != "" {
		m.OwnerKind = proto.String(string(h.Owner.Kind))
	}
	if h.Owner.Key != "" {
		m.Owner = proto.String(h.Owner.Key)
	}
	m.ProtoReflect().SetUnknown(h.unknown)
	data, err := marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode handle %s: %w", h.ID, err)
	}
	return data, nil
}

// DecodeHandle reads a handle from the store. Unknown fields are kept.
func DecodeHandle(data []byte) (*Handle, error) {
	var m vrouterv1.IPAMHandleSpec
	if err := proto.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("decode handle: %w", err)
	}
	h := &Handle{
		ID:      m.GetHandleId(),
		Owner:   Owner{Kind: OwnerKind(m.GetOwnerKind()), Key: m.GetOwner()},
		Blocks:  make(map[netip.Prefix]int, len(m.GetBlock())),
		unknown: m.ProtoReflect().GetUnknown(),
	}
	if h.ID == "" {
		return nil, errors.New("decode handle: no id")
	}
	for text, n := range m.GetBlock() {
		cidr, err := parseBlock(text)
		if err != nil {
			return nil, fmt.Errorf("decode handle %s: %w", h.ID, err)
		}
		if n == 0 || n > 1<<MaxBlockBits {
			return nil, fmt.Errorf("decode handle %s: %d addresses in %s", h.ID, n, cidr)
		}
		h.Blocks[cidr] = int(n)
	}
	return h, nil
}
