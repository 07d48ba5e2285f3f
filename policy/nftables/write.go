package nftables

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
)

// errForeign says that the kernel's rules are not those that we wrote last.
var errForeign = errors.New("somebody else changed our rules")

// write makes the kernel hold what p says. What is in force changes in one
// transaction; what nothing leads to yet may come before it. With all, what p
// does not mention goes.
func (d *Dataplane) write(p *plan, all bool) error {
	if all {
		p.sweep(d.held)
	}
	if err := d.prefill(p); err != nil {
		return err
	}
	if err := d.prepare(p); err != nil {
		return err
	}
	return d.commit(p, d.sock.newBatch())
}

// replace makes the table anew, in one transaction as well: a set or a base
// chain of another kind cannot be changed, and flags only be given at the start.
func (d *Dataplane) replace(p *plan) error {
	d.log.Warn("table is not as we make it, made anew", "table", tableName)
	b := d.sock.newBatch()
	b.deleteTable()
	b.addTable(d.protection)
	d.held = newHeld()
	return d.commit(p, b)
}

// commit adds to a transaction what makes the kernel hold p, and sends it.
func (d *Dataplane) commit(p *plan, b *batch) error {
	w := &writer{batch: b, held: d.held, sock: d.sock, readOnce: d.readOnce, sum: d.sum}
	if err := w.write(p); err != nil {
		return err
	}
	if err := d.sock.commit(b); err != nil {
		return err
	}
	for _, f := range w.done {
		f()
	}
	return nil
}

// sweep says of what the kernel holds and p does not mention that it goes.
func (p *plan) sweep(h *held) {
	for name := range h.chains {
		if _, ok := p.chains[name]; !ok {
			p.chains[name] = nil
		}
	}
	for name, set := range h.sets {
		if _, ok := p.sets[name]; !ok {
			p.sets[name] = nil
		}
		for key := range set.elements {
			if _, ok := p.elements[name][key]; !ok {
				p.element(name, ifaceName(key), nil)
			}
		}
	}
	for _, change := range p.members {
		change.all = true
	}
}

// A writer turns a plan into a transaction, by the difference to what the
// kernel holds. Objects come before what refers to them, and go after it.
type writer struct {
	batch *batch
	held  *held
	sock  *socket
	done  []func() // what follows from the commit

	readOnce int
	sum      summer
}

func (w *writer) write(p *plan) error {
	for _, name := range slices.Sorted(maps.Keys(p.sets)) {
		if t := p.sets[name]; t != nil && w.held.sets[name] == nil {
			w.newSet(name, t)
		}
	}
	chains := slices.Sorted(maps.Keys(p.chains))
	for _, name := range chains {
		if c := p.chains[name]; c != nil && w.held.chains[name] == nil {
			w.batch.addChain(c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.elements)) {
		w.elements(name, p)
	}
	for _, name := range slices.Sorted(maps.Keys(p.members)) {
		if err := w.members(name, p); err != nil {
			return err
		}
	}
	for _, name := range chains {
		if c := p.chains[name]; c != nil {
			if err := w.chain(c); err != nil {
				return err
			}
		}
	}
	w.deletions(p, chains)
	return nil
}

func (w *writer) newSet(name string, t *setType) {
	w.batch.addSet(set{name: name, typ: *t}, 0)
	h := &heldSet{typ: *t}
	if t.aboutInterfaces() {
		h.elements = map[string]verdict{}
	}
	w.done = append(w.done, func() { w.held.sets[name] = h })
}

// deletions takes away chains and sets. Chains are emptied first, because they
// may refer to each other and to sets; sets go before chains, because they may
// lead to them.
func (w *writer) deletions(p *plan, chains []string) {
	var gone []string
	for _, name := range chains {
		if p.chains[name] == nil && w.held.chains[name] != nil {
			gone = append(gone, name)
			w.batch.flushChain(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.sets)) {
		if p.sets[name] == nil && w.held.sets[name] != nil {
			w.batch.deleteSet(name)
			w.done = append(w.done, func() { delete(w.held.sets, name) })
		}
	}
	for _, name := range gone {
		w.batch.deleteChain(name)
		w.done = append(w.done, func() { delete(w.held.chains, name) })
	}
}

// elements makes a set about interfaces say what p wants.
func (w *writer) elements(name string, p *plan) {
	t, said := p.sets[name]
	held := map[string]verdict{}
	if h := w.held.sets[name]; h != nil {
		held = h.elements
		if !said {
			t = &h.typ
		}
	}
	if t == nil {
		return // it goes, or never came
	}
	var add, remove []element
	changes := p.elements[name]
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		v, is := held[key]
		want := changes[key]
		if want != nil && is && v == *want {
			continue
		}
		if is {
			remove = append(remove, element{key: key})
		}
		if want != nil {
			add = append(add, element{key: key, verdict: *want})
		}
	}
	w.batch.deleteElements(name, *t, remove)
	w.batch.addElements(name, *t, 0, add)
	w.done = append(w.done, func() {
		elements := w.held.sets[name].elements
		for _, e := range remove {
			delete(elements, e.key)
		}
		for _, e := range add {
			elements[e.key] = e.verdict
		}
	})
}

// members makes a set of members hold what p wants.
func (w *writer) members(name string, p *plan) error {
	t, said := p.sets[name]
	change, h := p.members[name], w.held.sets[name]
	if !said && h != nil {
		t = &h.typ
	}
	if t == nil {
		return nil // it goes with all it holds
	}
	add, remove := change.add, change.remove
	switch {
	case h == nil:
	case change.all && h.seen && w.sock.alone && len(change.add) >= w.readOnce && h.sum == w.sum.of(change.add):
		return nil
	case change.all || len(change.reset) > 0:
		var err error
		if add, remove, err = w.sock.difference(name, change); err != nil {
			return err
		}
	}
	w.batch.deleteElements(name, *t, remove)
	w.batch.addElements(name, *t, 0, add)
	w.done = append(w.done, func() {
		held := w.held.sets[name]
		if change.all || h == nil {
			held.seen, held.sum = true, 0
		}
		held.sum += w.sum.of(change.add) - w.sum.of(change.remove)
		held.seen = held.seen && !change.left
	})
	return nil
}

// tooLargeToRead is the size from which on a set is read only once, where we
// own the table: the kernel takes the square of it, a million in some seconds.
// Afterwards the sum of what we wrote tells whether it is what it should be.
const tooLargeToRead = 200_000

// A summer makes sums of members, by a hash that nobody outside knows: equal
// sums are equal members, in whatever order they came and went.
type summer maphash.Seed

func newSummer() summer { return summer(maphash.MakeSeed()) }

func (s summer) of(elements []element) uint64 {
	sum := uint64(0)
	for _, e := range elements {
		sum += maphash.String(maphash.Seed(s), e.key)
	}
	return sum
}

// difference reads a set and tells how it comes to hold what is wanted.
func (s *socket) difference(set string, change *memberChange) (add, remove []element, err error) {
	isReset := func(key []byte) bool {
		_, reset := change.reset[setNumber(key[:len(setNumber{})])]
		return change.all || reset
	}
	missing := make(map[string]bool, len(change.add)) // false: the kernel has it
	for _, e := range change.add {
		missing[e.key] = true
	}
	remove = change.remove
	err = s.readElements(set, func(key []byte, _ verdict) {
		if !isReset(key) {
			return
		}
		if _, ok := missing[string(key)]; ok {
			missing[string(key)] = false
		} else {
			remove = append(remove, element{key: string(key)})
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, e := range change.add {
		if missing[e.key] {
			add = append(add, e)
			missing[e.key] = false
		}
	}
	return add, remove, nil
}

// chain makes a chain hold its rules. Rules at both ends that are right stay,
// and so do their counters.
func (w *writer) chain(c *chain) error {
	wanted := make([]heldRule, len(c.rules))
	for i, r := range c.rules {
		wanted[i].identity = r.identity()
	}
	h := w.held.chains[c.name]
	if h == nil {
		for _, r := range c.rules {
			w.batch.addRule(c.name, r, 0)
		}
		w.done = append(w.done, func() { w.held.chains[c.name] = &heldChain{base: c.base, rules: wanted} })
		return nil
	}
	head := commonHead(h.rules, wanted)
	tail := commonTail(h.rules[head:], wanted[head:])
	if head == len(h.rules) && head == len(wanted) {
		return nil
	}
	if err := w.sock.readHandles(h, c.name, head, len(h.rules)-tail); err != nil {
		return err
	}
	for _, r := range h.rules[head : len(h.rules)-tail] {
		w.batch.deleteRule(c.name, r.handle)
	}
	before := uint64(0)
	if tail > 0 {
		before = h.rules[len(h.rules)-tail].handle
	}
	for _, r := range c.rules[head : len(wanted)-tail] {
		w.batch.addRule(c.name, r, before)
	}
	copy(wanted, h.rules[:head])
	copy(wanted[len(wanted)-tail:], h.rules[len(h.rules)-tail:])
	w.done = append(w.done, func() { w.held.chains[c.name] = &heldChain{base: h.base, rules: wanted} })
	return nil
}

// readHandles reads the handles of a chain's rules, unless those from first to
// last, included, are known.
func (s *socket) readHandles(h *heldChain, name string, first, last int) error {
	unknown := func(r heldRule) bool { return r.handle == 0 }
	if !slices.ContainsFunc(h.rules[first:min(last+1, len(h.rules))], unknown) {
		return nil
	}
	read := &held{chains: map[string]*heldChain{name: {}}}
	var err error
	for range readAttempts {
		if err = s.readRules(read, name); !errors.Is(err, errInterrupted) {
			break
		}
	}
	if err != nil {
		return err
	}
	rules := read.chains[name].rules
	if len(rules) != len(h.rules) || commonHead(rules, h.rules) != len(rules) {
		return fmt.Errorf("chain %s: %w", name, errForeign)
	}
	h.rules = rules
	return nil
}

func commonHead(a, b []heldRule) int {
	n := 0
	for n < len(a) && n < len(b) && a[n].identity == b[n].identity {
		n++
	}
	return n
}

func commonTail(a, b []heldRule) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n].identity == b[len(b)-1-n].identity {
		n++
	}
	return n
}
