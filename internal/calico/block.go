package calico

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/projectvrouter/vrouter/ipam"
)

// rawBlock is a block as Calico stores it, in etcd and in Kubernetes.
type rawBlock struct {
	CIDR           string            `json:"cidr"`
	Affinity       *string           `json:"affinity"`
	ClaimTime      *time.Time        `json:"affinity_claim_time"`
	ClaimTimeKube  *time.Time        `json:"affinityClaimTime"`
	Allocations    []*int            `json:"allocations"` // by ordinal; null: free
	Unallocated    []int             `json:"unallocated"` // the longest free first
	Attributes     []rawAttribute    `json:"attributes"`
	Sequence       uint64            `json:"sequenceNumber"`
	Sequences      map[string]uint64 `json:"sequenceNumberForAllocation"` // by ordinal; those of versions before it are not there
	Deleted        bool              `json:"deleted"`
	HostAffinity   *string           `json:"hostAffinity"`   // in place of affinity, in the first versions
	StrictAffinity bool              `json:"strictAffinity"` // it says nothing any more
}

type rawAttribute struct {
	Handle    *string           `json:"handle_id"`
	Secondary map[string]string `json:"secondary"`
	Alternate map[string]string `json:"alternate"` // who else may have it, while a virtual machine moves
}

// block is a block that was read.
type block struct {
	source   string
	cidr     netip.Prefix
	affinity string // host:NODE, virtual:NAME; empty: nobody's
	claimed  int64  // seconds since 1970; zero: not known
	sequence uint64
	held     []*holding // by ordinal; nil: free
	free     []uint32   // the longest free first
}

// holding is an address that is held.
type holding struct {
	handle     string // empty: Calico had none
	owner      ipam.Owner
	attributes map[string]string
	sequence   uint64
}

// maxSequence is the last sequence number that is taken: what follows it must
// not begin anew. Calico begins at the nanoseconds since 1970.
const maxSequence = math.MaxInt64 - 1<<42

// block takes a block. Key is the CIDR that its key says, empty: it has none.
func (c *conversion) block(source string, raw *rawBlock, key string) {
	cidr, err := parsePrefix(cmp.Or(raw.CIDR, key))
	if err == nil && key != "" && cmp.Or(raw.CIDR, key) != key {
		err = fmt.Errorf("%s, and its key is of %s", raw.CIDR, key)
	}
	size := cidr.Addr().BitLen() - cidr.Bits()
	if err == nil && size > ipam.MaxBlockBits {
		err = fmt.Errorf("%s is larger than a block may be (%d addresses)", cidr, 1<<ipam.MaxBlockBits)
	}
	if err != nil {
		c.problems.Add(source+".cidr", err)
		return
	}
	source += " (" + cidr.String() + ")"
	if was := c.blocks[cidr]; was != nil {
		c.problems.Add(source, fmt.Errorf("the block is in %s, too", was.source))
		return
	}
	if len(raw.Allocations) != 1<<size {
		c.problems.Add(source+".allocations", fmt.Errorf("there are %d, of %d addresses", len(raw.Allocations), 1<<size))
		return
	}
	b := &block{source: source, cidr: cidr, sequence: raw.Sequence, held: make([]*holding, 1<<size)}
	b.affinity, err = raw.affinity()
	c.problems.Add(source+".affinity", err)
	for _, t := range []*time.Time{raw.ClaimTime, raw.ClaimTimeKube} {
		if t != nil && t.Unix() > 0 {
			b.claimed = t.Unix()
		}
	}
	if !c.sequences(b, raw) || !c.holdings(b, raw) {
		return
	}
	b.free = c.unallocated(b, raw)
	switch {
	case !raw.Deleted:
		c.blocks[cidr] = b
	case len(b.free) < len(b.held):
		c.problems.Add(source+".deleted", errors.New("it is being deleted, and addresses of it are held"))
	}
}

// affinity returns whom the block belongs to.
func (raw *rawBlock) affinity() (string, error) {
	text := ""
	switch {
	case raw.Affinity != nil:
		text = *raw.Affinity
	case raw.HostAffinity != nil && *raw.HostAffinity != "":
		text = "host:" + *raw.HostAffinity
	}
	kind, name, _ := strings.Cut(text, ":")
	if text != "" && (name == "" || kind != "host" && kind != "virtual") {
		return "", fmt.Errorf("%q is neither host:NODE nor virtual:NAME", text)
	}
	return text, nil
}

// sequences checks the numbers of a block, and has its own be the highest.
func (c *conversion) sequences(b *block, raw *rawBlock) bool {
	for _, text := range slices.Sorted(maps.Keys(raw.Sequences)) {
		n := raw.Sequences[text]
		ordinal, err := strconv.Atoi(text)
		if err != nil || ordinal < 0 || ordinal >= len(b.held) {
			c.problems.Add(b.source+".sequenceNumberForAllocation", fmt.Errorf("%q is none of %d addresses", text, len(b.held)))
			return false
		}
		b.sequence = max(b.sequence, n)
	}
	if b.sequence = max(b.sequence, 1); b.sequence > maxSequence {
		c.problems.Add(b.source+".sequenceNumber", fmt.Errorf("%d is too high", b.sequence))
		return false
	}
	c.floor = max(c.floor, b.sequence)
	return true
}

// holdings reads who holds what. An address that was given out by a version
// without numbers for each is as young as the block says.
func (c *conversion) holdings(b *block, raw *rawBlock) bool {
	for i, a := range raw.Attributes {
		if len(a.Alternate) > 0 {
			c.problems.Add(fmt.Sprintf("%s.attributes[%d].alternate", b.source, i),
				unsupported("an address under way from one owner to another is not supported yet: end the move of the virtual machine first"))
			return false
		}
		if n := len(text(a.Handle)); n > ipam.MaxHandle {
			c.problems.Add(fmt.Sprintf("%s.attributes[%d].handle_id", b.source, i), fmt.Errorf("%d bytes, at most %d are allowed", n, ipam.MaxHandle))
			return false
		}
	}
	for ordinal, n := range raw.Allocations {
		if n == nil {
			continue
		}
		if *n < 0 || *n >= len(raw.Attributes) {
			c.problems.Add(fmt.Sprintf("%s.allocations[%d]", b.source, ordinal), fmt.Errorf("attribute %d of %d", *n, len(raw.Attributes)))
			return false
		}
		a := raw.Attributes[*n]
		b.held[ordinal] = &holding{
			handle:     text(a.Handle),
			owner:      ipam.Owner{Kind: ipam.OwnerExternal},
			attributes: a.Secondary,
			sequence:   cmp.Or(raw.Sequences[strconv.Itoa(ordinal)], b.sequence),
		}
		if id := text(a.Handle); id != "" && !raw.Deleted {
			if c.counted[id] == nil {
				c.counted[id] = make(map[netip.Prefix]int)
			}
			c.counted[id][b.cidr]++
		}
	}
	return true
}

// text is a handle as Calico reads it: what follows a carriage return came there
// by a mistake of an old version, and is no part of it.
func text(handle *string) string {
	if handle == nil {
		return ""
	}
	text, _, _ := strings.Cut(*handle, "\r")
	return text
}

// unallocated returns the free addresses in their order. The allocations say
// which these are.
func (c *conversion) unallocated(b *block, raw *rawBlock) []uint32 {
	var free []uint32
	seen := make([]bool, len(b.held))
	wrong := false
	for _, ordinal := range raw.Unallocated {
		if ordinal < 0 || ordinal >= len(b.held) || seen[ordinal] || b.held[ordinal] != nil {
			wrong = true
			continue
		}
		seen[ordinal] = true
		free = append(free, uint32(ordinal))
	}
	for ordinal, h := range b.held {
		if h == nil && !seen[ordinal] {
			wrong = true
			free = append(free, uint32(ordinal))
		}
	}
	if wrong {
		c.note("%d blocks list free addresses otherwise than their allocations, which decide, such as %s", b.source+".unallocated")
	}
	return free
}

// find returns the block that an address is of, and its place there.
func (c *conversion) find(a netip.Addr) (*block, int) {
	for bits := a.BitLen(); bits >= a.BitLen()-ipam.MaxBlockBits; bits-- {
		cidr, _ := a.Prefix(bits) // of a length that an address has
		if b := c.blocks[cidr]; b != nil {
			return b, ordinal(cidr, a)
		}
	}
	return nil, 0
}

// ordinal returns the place of an address in a block of at most 2^12 addresses.
func ordinal(cidr netip.Prefix, a netip.Addr) int {
	first, last := cidr.Addr().AsSlice(), a.AsSlice()
	n := len(last)
	return (int(last[n-2])<<8 | int(last[n-1])) - (int(first[n-2])<<8 | int(first[n-1]))
}

// sortedBlocks returns the blocks in order.
func (c *conversion) sortedBlocks() []*block {
	out := make([]*block, 0, len(c.blocks))
	for _, b := range c.blocks {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b *block) int { return a.cidr.Compare(b.cidr) })
	return out
}
