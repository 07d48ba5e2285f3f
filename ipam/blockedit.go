package ipam

import (
	"bytes"
	"slices"
)

// edit returns a copy that may be changed until it is handed over. It shares
// the attributes, which are never changed.
func (b *Block) edit() *Block {
	c := *b
	c.holders = slices.Clone(b.holders)
	c.attributes = slices.Clone(b.attributes)
	c.sequences = slices.Clone(b.sequences)
	c.idle = slices.Clone(b.idle)
	return &c
}

// takeAny gives out up to n addresses, the longest idle first, none that is
// reserved or cooling, and returns their ordinals.
func (b *Block) takeAny(n int, env *Env, of *attribute) []int {
	var taken []int
	rest := b.idle[:0]
	for _, i := range b.idle {
		if len(taken) < n && env.usable(b, i) {
			taken = append(taken, int(i.ordinal))
		} else {
			rest = append(rest, i)
		}
	}
	b.idle = rest
	b.hold(taken, of)
	return taken
}

// take gives out one address, which must be free.
func (b *Block) take(ordinal int, of *attribute) {
	b.idle = slices.DeleteFunc(b.idle, func(i idle) bool { return int(i.ordinal) == ordinal })
	b.hold([]int{ordinal}, of)
}

func (b *Block) hold(ordinals []int, of *attribute) {
	if len(ordinals) == 0 {
		return
	}
	holder := slices.IndexFunc(b.attributes, func(a *attribute) bool { return bytes.Equal(a.wire, of.wire) })
	if holder < 0 {
		holder = len(b.attributes)
		b.attributes = append(b.attributes, of)
	}
	for _, ordinal := range ordinals {
		b.holders[ordinal] = uint32(holder) + 1
		b.sequences[ordinal] = b.Sequence
	}
}

// release frees addresses, which must be held; they go to the end of the free
// ones.
func (b *Block) release(ordinals []int, now int64) {
	for n, i := range b.idle { // what is past any cooldown says so in a byte
		if i.released != 0 && now-i.released > int64(MaxCooldown.Seconds()) {
			b.idle[n].released = 0
		}
	}
	for _, ordinal := range ordinals {
		holder := b.holders[ordinal]
		b.holders[ordinal], b.sequences[ordinal] = 0, 0
		b.idle = append(b.idle, idle{ordinal: uint32(ordinal), released: now})
		if !slices.Contains(b.holders, holder) {
			b.drop(holder)
		}
	}
}

// drop removes an attribute that nothing refers to; the last one takes its
// place.
func (b *Block) drop(holder uint32) {
	last := uint32(len(b.attributes))
	b.attributes[holder-1] = b.attributes[last-1]
	b.attributes = b.attributes[:last-1]
	for i := range b.holders {
		if b.holders[i] == last {
			b.holders[i] = holder
		}
	}
}

// weight returns about how many bytes the block has in the store.
func (b *Block) weight() int {
	n := 8*b.Size() + 5*len(b.idle)
	for _, a := range b.attributes {
		n += a.weight()
	}
	return n
}
