package ipam

import (
	"net/netip"
	"strings"
	"time"
)

// Affinity is who a block belongs to: "host:NAME", or "virtual:NAME" for what
// is no host, such as load balancers. Empty: nobody.
type Affinity string

// The types of affinity.
const (
	hostType    = "host:"
	virtualType = "virtual:"
)

// AffinityOf returns the affinity of a node. Requests name what is no host
// as "virtual:NAME" in place of a node.
func AffinityOf(node string) Affinity {
	if strings.HasPrefix(node, virtualType) {
		return Affinity(node)
	}
	return Affinity(hostType + node)
}

// Node returns the node as requests name it; empty for nobody.
func (a Affinity) Node() string { return strings.TrimPrefix(string(a), hostType) }

// Virtual tells whether it belongs to what is no host.
func (a Affinity) Virtual() bool { return strings.HasPrefix(string(a), virtualType) }

// Block is a part of a pool whose addresses are given out together: the truth
// about who holds them. Blocks are never changed; edits make another one.
type Block struct {
	CIDR      netip.Prefix
	Affinity  Affinity
	ClaimedAt time.Time // when it got its affinity; seconds; zero: not known
	// Sequence grows with every change of allocations. A block made anew begins
	// at the revision of the store, above all that it ever had before; in one that
	// was imported, at what the other had come to beside it (SequenceFloor).
	Sequence uint64

	holders    []uint32 // by ordinal: 0 is free, n is attributes[n-1]
	attributes []*attribute
	sequences  []uint64 // by ordinal: when it was given out; 0 when it is free
	idle       []idle   // the free ones, in the order in which they are given out
	unknown    []byte   // fields of a newer version
}

// idle is a free address.
type idle struct {
	ordinal  uint32
	released int64 // seconds since 1970; zero: never, or long ago
}

// newBlock returns a block with all addresses free.
func newBlock(cidr netip.Prefix, sequence uint64) *Block {
	n := 1 << (cidr.Addr().BitLen() - cidr.Bits())
	b := &Block{
		CIDR:      cidr,
		Sequence:  sequence,
		holders:   make([]uint32, n),
		sequences: make([]uint64, n),
		idle:      make([]idle, n),
	}
	for i := range b.idle {
		b.idle[i].ordinal = uint32(i)
	}
	return b
}

// Size returns the number of addresses, free or not.
func (b *Block) Size() int { return len(b.holders) }

// Free returns how many addresses nobody holds, reserved and cooling ones
// included.
func (b *Block) Free() int { return len(b.idle) }

// Empty tells whether nobody holds any address.
func (b *Block) Empty() bool { return len(b.idle) == len(b.holders) }

// Addr returns the address at a place in the block.
func (b *Block) Addr(ordinal int) netip.Addr { return offset(b.CIDR.Addr(), uint64(ordinal)) }

// Holding is an address that is held.
type Holding struct {
	Address   netip.Addr
	Handle    string
	Sequence  uint64
	Secondary map[string]string // not to be changed
}

// Holding returns who holds an address; false when it is free or elsewhere.
func (b *Block) Holding(a netip.Addr) (Holding, bool) {
	ordinal, ok := b.ordinal(a)
	if !ok || b.holders[ordinal] == 0 {
		return Holding{}, false
	}
	return b.holding(ordinal), true
}

// Holdings returns all addresses that are held, in order.
func (b *Block) Holdings() []Holding {
	out := make([]Holding, 0, b.Size()-b.Free())
	for ordinal, holder := range b.holders {
		if holder != 0 {
			out = append(out, b.holding(ordinal))
		}
	}
	return out
}

// held returns the addresses of a handle.
func (b *Block) held(handle string) []Holding {
	var out []Holding
	for ordinal, holder := range b.holders {
		if holder != 0 && b.attributes[holder-1].handle == handle {
			out = append(out, b.holding(ordinal))
		}
	}
	return out
}

func (b *Block) holding(ordinal int) Holding {
	attribute := b.attributes[b.holders[ordinal]-1]
	return Holding{
		Address:   b.Addr(ordinal),
		Handle:    attribute.handle,
		Sequence:  b.sequences[ordinal],
		Secondary: attribute.secondary,
	}
}

// ordinal returns the place of an address in the block.
func (b *Block) ordinal(a netip.Addr) (int, bool) {
	if !b.CIDR.Contains(a) {
		return 0, false
	}
	return int(distance(b.CIDR.Addr(), a)), true
}

// cooling tells whether an address was released less than a cooldown ago. Clocks
// of hosts may differ; one that was further ahead than any cooldown was wrong, and
// holds nothing back.
func (i idle) cooling(now time.Time, cooldown time.Duration) bool {
	since := now.Sub(time.Unix(i.released, 0))
	return i.released != 0 && cooldown > 0 && -MaxCooldown <= since && since < cooldown
}

// CoolingUntil returns until when a free address is held back for a cooldown;
// zero: it is not.
func (b *Block) CoolingUntil(a netip.Addr, now time.Time, cooldown time.Duration) time.Time {
	for _, i := range b.idle {
		if b.Addr(int(i.ordinal)) == a && i.cooling(now, cooldown) {
			return time.Unix(i.released, 0).Add(cooldown)
		}
	}
	return time.Time{}
}

// usable returns how many addresses could be given out now.
func (b *Block) usable(env *Env) int {
	n := 0
	for _, i := range b.idle {
		if env.usable(b, i) {
			n++
		}
	}
	return n
}

// unused tells whether the block can go without anything being lost: nobody
// holds an address, and none is cooling.
func (b *Block) unused(env *Env) bool {
	if !b.Empty() {
		return false
	}
	for _, i := range b.idle {
		if i.cooling(env.Now, env.Config.Cooldown) {
			return false
		}
	}
	return true
}
