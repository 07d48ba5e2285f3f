package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// MaxBlockBits is the log2 of the most addresses that a block may have: a /20
// of IPv4, a /116 of IPv6.
const MaxBlockBits = 12

// marshal renders for the store: the same bytes for the same object.
func marshal(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// encode renders a block for the store.
func (b *Block) encode() ([]byte, error) {
	m := &vrouterv1.IPAMBlockSpec{
		Cidr:                        proto.String(b.CIDR.String()),
		Allocations:                 b.holders,
		SequenceNumber:              proto.Uint64(b.Sequence),
		SequenceNumberForAllocation: b.sequences,
	}
	if b.Affinity != "" {
		m.Affinity = proto.String(string(b.Affinity))
	}
	if !b.ClaimedAt.IsZero() {
		m.AffinityClaimTime = proto.Int64(b.ClaimedAt.Unix())
	}
	released := false
	m.Unallocated = make([]uint32, len(b.idle))
	m.ReleasedAt = make([]int64, len(b.idle))
	for n, i := range b.idle {
		m.Unallocated[n], m.ReleasedAt[n] = i.ordinal, i.released
		released = released || i.released != 0
	}
	if !released {
		m.ReleasedAt = nil
	}
	m.ProtoReflect().SetUnknown(b.unknown)
	data, err := marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode block %s: %w", b.CIDR, err)
	}
	return appendAttributes(data, b.attributes), nil
}

// DecodeBlock reads a block from the store. Unknown fields are kept. One that
// contradicts itself is an error: nothing may be given out of it.
func DecodeBlock(data []byte) (*Block, error) {
	attributes, rest, err := cutAttributes(data)
	if err != nil {
		return nil, fmt.Errorf("decode block: %w", err)
	}
	var m vrouterv1.IPAMBlockSpec
	if err := proto.Unmarshal(rest, &m); err != nil {
		return nil, fmt.Errorf("decode block: %w", err)
	}
	cidr, err := parseBlock(m.GetCidr())
	if err != nil {
		return nil, fmt.Errorf("decode block: %w", err)
	}
	b := &Block{
		CIDR:       cidr,
		Affinity:   Affinity(m.GetAffinity()),
		Sequence:   m.GetSequenceNumber(),
		holders:    m.GetAllocations(),
		attributes: attributes,
		sequences:  m.GetSequenceNumberForAllocation(),
		unknown:    m.ProtoReflect().GetUnknown(),
	}
	if t := m.GetAffinityClaimTime(); t != 0 {
		b.ClaimedAt = time.Unix(t, 0)
	}
	for n, ordinal := range m.GetUnallocated() {
		i := idle{ordinal: ordinal}
		if n < len(m.GetReleasedAt()) {
			i.released = m.GetReleasedAt()[n]
		}
		b.idle = append(b.idle, i)
	}
	if err := b.consistent(); err != nil {
		return nil, fmt.Errorf("decode block %s: %w", cidr, err)
	}
	return b, nil
}

// consistent tells whether every address is either free once or held with an
// attribute.
func (b *Block) consistent() error {
	size := 1 << (b.CIDR.Addr().BitLen() - b.CIDR.Bits())
	if len(b.holders) != size || len(b.sequences) != size {
		return fmt.Errorf("%d allocations and %d sequence numbers of %d addresses", len(b.holders), len(b.sequences), size)
	}
	used := make([]bool, len(b.attributes))
	taken := 0
	for ordinal, holder := range b.holders {
		switch {
		case holder == 0 && b.sequences[ordinal] != 0:
			return fmt.Errorf("%s is free and has a sequence number", b.Addr(ordinal))
		case int(holder) > len(b.attributes):
			return fmt.Errorf("%s has attribute %d of %d", b.Addr(ordinal), holder, len(b.attributes))
		case holder != 0:
			used[holder-1] = true
			taken++
		}
	}
	if slices.Contains(used, false) {
		return errors.New("an attribute without an address")
	}
	seen := make([]bool, size)
	for _, i := range b.idle {
		if int(i.ordinal) >= size || seen[i.ordinal] || b.holders[i.ordinal] != 0 {
			return fmt.Errorf("ordinal %d is listed as free, and is not", i.ordinal)
		}
		seen[i.ordinal] = true
	}
	if taken+len(b.idle) != size {
		return fmt.Errorf("%d held and %d free of %d addresses", taken, len(b.idle), size)
	}
	return nil
}

// parseBlock reads the CIDR of a block.
func parseBlock(text string) (netip.Prefix, error) {
	cidr, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, err
	case cidr != cidr.Masked() || cidr.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%s is not the canonical form of a prefix", cidr)
	case cidr.Addr().BitLen()-cidr.Bits() > MaxBlockBits:
		return netip.Prefix{}, fmt.Errorf("%s is larger than a block may be (%d addresses)", cidr, 1<<MaxBlockBits)
	}
	return cidr, nil
}
