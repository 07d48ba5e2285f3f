package ipam

import (
	"fmt"
	"net/netip"
)

// SplitBlock cuts a block into blocks with a longer prefix, for a pool that gets
// smaller blocks. Each keeps affinity, holders, sequence numbers and the order
// of its free addresses. It is arithmetic alone: who writes them deletes the
// old one, its affinity, and its counts in handles in the same transaction.
func SplitBlock(b *Block, bits int) ([]*Block, error) {
	if bits <= b.CIDR.Bits() || bits > b.CIDR.Addr().BitLen() {
		return nil, fmt.Errorf("split block %s: /%d is not smaller", b.CIDR, bits)
	}
	size := 1 << (b.CIDR.Addr().BitLen() - bits)
	var out []*Block
	for at := 0; at < b.Size(); at += size {
		part := newBlock(netip.PrefixFrom(b.Addr(at), bits), b.Sequence)
		part.Affinity, part.ClaimedAt, part.unknown = b.Affinity, b.ClaimedAt, b.unknown
		part.idle = part.idle[:0]
		for _, i := range b.idle {
			if o := int(i.ordinal); o >= at && o < at+size {
				part.idle = append(part.idle, idle{uint32(o - at), i.released})
			}
		}
		number := make(map[uint32]uint32) // of attributes, in the part by that in the whole
		for ordinal := range part.holders {
			holder := b.holders[at+ordinal]
			if holder == 0 {
				continue
			}
			if number[holder] == 0 {
				part.attributes = append(part.attributes, b.attributes[holder-1])
				number[holder] = uint32(len(part.attributes))
			}
			part.holders[ordinal], part.sequences[ordinal] = number[holder], b.sequences[at+ordinal]
		}
		out = append(out, part)
	}
	return out, nil
}
