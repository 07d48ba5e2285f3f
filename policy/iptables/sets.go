package iptables

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink/nl"

	"github.com/projectvrouter/vrouter/policy"
)

// minMembers is the room that a set is made with. It costs nothing, and saves
// most sets from ever being made anew.
const minMembers = 1 << 16

// kernelSet is a set of ours as the kernel has it.
type kernelSet struct {
	family *family
	kind   byte
	max    uint32
	count  int
	// A hash:net takes no network without bits: it is two halves, which may
	// also be members themselves.
	whole  bool
	halves [2]bool
}

// take counts members that come and go, and tells which entries of the kernel
// do.
func (k *kernelSet) take(add, remove []policy.Member) (coming, going []entry) {
	before := k.present()
	for _, m := range remove {
		if e := (entry{m.Prefix, m.Protocol, m.Port}); !k.special(m.Prefix, false) && familyOf(m.Prefix.Addr()) == k.family {
			going = append(going, e)
			k.count--
		}
	}
	for _, m := range add {
		if e := (entry{m.Prefix, m.Protocol, m.Port}); !k.special(m.Prefix, true) && familyOf(m.Prefix.Addr()) == k.family {
			coming = append(coming, e)
			k.count++
		}
	}
	after := k.present()
	for i := range after {
		switch {
		case after[i] && !before[i]:
			coming = append(coming, entry{prefix: k.half(i)})
		case before[i] && !after[i]:
			going = append(going, entry{prefix: k.half(i)})
		}
	}
	return coming, going
}

func (k *kernelSet) present() [2]bool { return [2]bool{k.whole || k.halves[0], k.whole || k.halves[1]} }

func (k *kernelSet) half(i int) netip.Prefix {
	a := netip.IPv4Unspecified()
	if k.family == ipv6 {
		a = netip.IPv6Unspecified()
	}
	first := a.AsSlice()
	first[0] = byte(i << 7)
	a, _ = netip.AddrFromSlice(first)
	return netip.PrefixFrom(a, 1)
}

// special takes note of a network without bits, or of half of one.
func (k *kernelSet) special(p netip.Prefix, is bool) bool {
	if familyOf(p.Addr()) != k.family || p.Bits() > 1 {
		return false
	}
	if p.Bits() == 0 {
		k.whole = is
	} else {
		k.halves[p.Addr().AsSlice()[0]>>7] = is
	}
	return true
}

// setWriter changes the kernel's sets in two steps: grow before the rules are
// changed, shrink after.
type setWriter struct {
	kernel *ipsets
	log    hclog.Logger
	known  map[string]*kernelSet // what the kernel has
	min    uint32                // see minMembers
	// families are those that there are: a kernel without IPv6 may know no sets
	// of it either.
	families []*family

	going map[string][]entry
	// gone is what nobody wants any more. What is asked for at this moment
	// stays until the next time.
	gone map[string]struct{}
}

// grow makes what an update tells of sets, as far as that adds anything; with
// all, those of which it says nothing have other families than before. What
// there was under another kind goes later, as what no rule asks for.
func (w *setWriter) grow(s *state, sets map[policy.SetID]*policy.SetChange, all bool) error {
	ids := maps.Clone(sets)
	for id, m := range s.sets {
		if all && sets[id] == nil {
			ids[id] = &policy.SetChange{Kind: m.kind}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		change := ids[id]
		kind := kindLetter(change.Kind)
		for _, f := range w.families {
			name := setName(f, kind, id)
			if change.Gone || change.New {
				w.dropOthers(f, id, name, change.Gone)
			}
			if change.Gone {
				continue
			}
			if !s.asks(f, id) {
				w.drop(name)
				continue
			}
			if err := w.change(f, kind, name, change); err != nil {
				return fmt.Errorf("%w (%s)", err, change.Origin)
			}
		}
	}
	return nil
}

func (w *setWriter) drop(name string) {
	if w.known[name] != nil {
		w.gone[name] = struct{}{}
	}
}

// dropOthers has the sets of an ID go, of whatever kind, but the named one.
func (w *setWriter) dropOthers(f *family, id policy.SetID, name string, all bool) {
	for _, kind := range []byte{addressesLetter, networksLetter, portsLetter} {
		other := setName(f, kind, id)
		if all || other != name {
			w.drop(other)
		}
	}
}

func (w *setWriter) change(f *family, kind byte, name string, change *policy.SetChange) error {
	k := w.known[name]
	_, gone := w.gone[name]
	if k == nil || gone || change.New { // it had no members, or is told anew
		if err := w.exactly(f, kind, name, change.Add); err != nil || !gone {
			return err
		}
		old := w.going[name] // no rule asks for it yet: what it held may go before one does
		delete(w.going, name)
		return w.kernel.remove(name, old)
	}
	coming, going := k.take(change.Add, change.Remove)
	if len(going) > 0 {
		w.going[name] = append(w.going[name], going...)
	}
	if need := k.need(); need > k.max {
		return w.enlarge(k, name, need, coming)
	}
	return w.kernel.add(name, coming)
}

// need is the room that a set should have; the entries that go are still there
// when others come.
func (k *kernelSet) need() uint32 { return uint32(k.count) + 2 }

// room is the next power of two that leaves some.
func (w *setWriter) room(need uint32) uint32 {
	return max(w.min, 1<<bits.Len32(need*2-1))
}

// exactly brings a set to hold these members, but for those to remove, which
// go later.
func (w *setWriter) exactly(f *family, kind byte, name string, members []policy.Member) error {
	delete(w.gone, name)
	k := &kernelSet{family: f, kind: kind}
	coming, _ := k.take(members, nil)
	before := w.known[name]
	if before == nil {
		k.max = w.room(k.need())
		if err := w.kernel.create(name, f, kind, k.max); err != nil {
			return err
		}
		w.known[name] = k
		return w.kernel.add(name, coming)
	}
	k.max = before.max
	held, err := w.kernel.members(name)
	if err != nil {
		return err
	}
	has := make(map[entry]struct{}, len(held))
	for _, e := range held {
		has[e] = struct{}{}
	}
	news := coming[:0:0]
	for _, e := range coming {
		if _, ok := has[e]; !ok {
			news = append(news, e)
		}
		delete(has, e)
	}
	w.known[name] = k
	if len(has) > 0 {
		w.going[name] = append(w.going[name], slices.Collect(maps.Keys(has))...)
	}
	if need := uint32(len(held)+len(news)) + 2; len(news) > 0 && need > k.max {
		return w.enlarge(k, name, need, news)
	}
	return w.kernel.add(name, news)
}

// enlarge has a larger set take the place of one, in the rules that ask for it
// too.
func (w *setWriter) enlarge(k *kernelSet, name string, need uint32, coming []entry) error {
	held, err := w.kernel.members(name)
	if err != nil {
		return err
	}
	other := temporary(name)
	if err := w.kernel.destroy(other); err != nil {
		return err
	}
	k.max = w.room(max(need, uint32(len(held)+len(coming))))
	if err := w.kernel.create(other, k.family, k.kind, k.max); err != nil {
		return err
	}
	for _, entries := range [][]entry{held, coming} {
		if err := w.kernel.add(other, entries); err != nil {
			return errors.Join(err, w.kernel.destroy(other))
		}
	}
	if err := w.kernel.swap(name, other); err != nil {
		return errors.Join(err, w.kernel.destroy(other))
	}
	return w.kernel.destroy(other)
}

// growLists makes the sets of networks that rules say themselves. Their names
// are of what they hold.
func (w *setWriter) growLists(lists *lists, again bool) error {
	for _, name := range slices.Sorted(maps.Keys(lists.moved)) {
		l := lists.all[name]
		if len(l.users) == 0 {
			w.drop(name)
			delete(lists.all, name)
			continue
		}
		if !slices.Contains(w.families, l.family) || w.known[name] != nil && !again {
			delete(w.gone, name)
			continue
		}
		members := make([]policy.Member, len(l.nets))
		for i, p := range l.nets {
			members[i].Prefix = p
		}
		if err := w.exactly(l.family, listLetter, name, members); err != nil {
			return err
		}
	}
	return nil
}

// shrink removes what no rule asks for any more.
func (w *setWriter) shrink() error {
	for _, name := range slices.Sorted(maps.Keys(w.going)) {
		if err := w.kernel.remove(name, w.going[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.gone)) {
		switch err := w.kernel.destroy(name); {
		case errors.Is(err, nl.IPSetError(nl.IPSET_ERR_BUSY)):
			w.log.Debug("set is still asked for", "set", name)
		case err != nil:
			return err
		default:
			delete(w.known, name)
			delete(w.gone, name)
		}
	}
	return nil
}

// set is what a header says of a set of ours, whatever it holds.
func (h header) set() *kernelSet {
	k := &kernelSet{family: ipv4, kind: h.name[3], max: h.max}
	if h.family == ipv6.nfproto {
		k.family = ipv6
	}
	return k
}

// isRight tells whether a set of ours is of the type and family that its name
// says. A temporary one, left by a process that was killed, never is.
func (h header) isRight() bool {
	f := ipv4
	if h.name[2] == ipv6.digit {
		f = ipv6
	}
	typ, ok := setTypes[h.name[3]]
	return ok && h.typ == typ.name && h.family == f.nfproto
}

// strays has the sets go that nobody wants.
func (w *setWriter) strays(s *state, all map[string]*list) {
	wanted := map[string]bool{}
	for id, m := range s.sets {
		for _, f := range families() {
			wanted[setName(f, kindLetter(m.kind), id)] = s.asks(f, id)
		}
	}
	for name := range w.known {
		if !wanted[name] && all[name] == nil {
			w.gone[name] = struct{}{}
		}
	}
}
