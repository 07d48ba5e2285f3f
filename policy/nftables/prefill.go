package nftables

import (
	"maps"
	"slices"
)

const (
	// From this size on a new set is filled before the transaction that has
	// rules ask it: until then it says nothing to nobody.
	prefillSize = 20_000
	// And by so many elements at a time, some 4 MiB of IPv6.
	prefillStep = 100_000
)

// prefill makes and fills large sets that the kernel does not have yet.
func (d *Dataplane) prefill(p *plan) error {
	for _, name := range slices.Sorted(maps.Keys(p.members)) {
		t, change := p.sets[name], p.members[name]
		if t == nil || d.held.sets[name] != nil || len(change.add) < prefillSize {
			continue
		}
		rest := unique(change.add)
		b := d.sock.newBatch()
		b.addSet(set{name: name, typ: *t}, 0)
		for {
			n := min(prefillStep, len(rest))
			b.addElements(name, *t, 0, rest[:n])
			if err := d.sock.commit(b); err != nil {
				return err
			}
			if rest = rest[n:]; len(rest) == 0 {
				break
			}
			b = d.sock.newBatch()
		}
		d.held.sets[name] = &heldSet{typ: *t, seen: true, sum: d.sum.of(change.add)}
		p.members[name] = &memberChange{}
	}
	return nil
}

// prepare makes chains that interfaces are to lead to, before they do. A packet
// that is at work while a transaction is committed goes on by the rules from
// before it, but finds in sets what is there after it: it would come into a chain
// that has no rules for it yet, and pass. Where the rest is refused then, the next
// Sync takes away what is left of this.
func (d *Dataplane) prepare(p *plan) error {
	if len(d.held.chains) == 0 || !p.leadsToNew(d.held) {
		return nil
	}
	first := newPlan()
	for name, c := range p.chains {
		if c != nil && c.base == nil && d.held.chains[name] == nil {
			first.chains[name] = c
		}
	}
	for name, t := range p.sets {
		if t != nil && d.held.sets[name] == nil {
			first.sets[name] = t
		}
	}
	return d.commit(first, d.sock.newBatch())
}

// leadsToNew tells whether an interface is to lead to a chain that comes with p.
func (p *plan) leadsToNew(h *held) bool {
	for _, elements := range p.elements {
		for _, v := range elements {
			if v != nil && p.chains[v.chain] != nil && h.chains[v.chain] == nil {
				return true
			}
		}
	}
	return false
}

// unique leaves out what is there twice.
func unique(elements []element) []element {
	seen := make(map[string]struct{}, len(elements))
	return slices.DeleteFunc(slices.Clone(elements), func(e element) bool {
		_, is := seen[e.key]
		seen[e.key] = struct{}{}
		return is
	})
}
