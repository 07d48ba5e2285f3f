package agent

import (
	"fmt"
	"net/netip"

	"github.com/projectvrouter/vrouter/bgp"
)

// elevatedLocalPref is what Calico gives a route of elevated priority: 2³¹−1
// less the priority, 512.
const elevatedLocalPref = 1<<31 - 1 - 512

// origins originates prefixes, as the better path while another host still has
// one: so the new home of a workload that moved wins at once. It has one user
// at a time, the edge that holds it.
//
// What a block covers is not originated by itself, but while another host has a
// path to it: that would be the more specific one.
type origins struct {
	speaker bgp.Speaker
	rivals  *learned
	exports *exports
	covered func(netip.Prefix) bool // peers are told of the block instead
	all     map[netip.Prefix]origin
	better  int
	quiet   map[netip.Prefix]string // covered ones: their interface
}

// origin is how a prefix was announced.
type origin struct {
	better     bool // as the better path
	attributes bgp.Attributes
}

func newOrigins(s bgp.Speaker, r *learned, e *exports) *origins {
	return &origins{speaker: s, rivals: r, exports: e, all: make(map[netip.Prefix]origin), quiet: make(map[netip.Prefix]string),
		covered: func(netip.Prefix) bool { return false }}
}

// originate announces p, which is forwarded to an interface, if it is not yet,
// or with other attributes. The error says why peers are not told; a prefix
// that only the pools keep back is told once they let it.
func (o *origins) originate(p netip.Prefix, ifname string) error {
	if o.covered(p) && !o.challenged(p) {
		o.cover(p, ifname)
	} else if err := o.tell(p, ifname); err != nil {
		return err
	}
	if why := o.exports.refusal(p); why != "" {
		return fmt.Errorf("peers are not told: %s", why)
	}
	return nil
}

// tell announces p if it is not yet, or with other attributes.
func (o *origins) tell(p netip.Prefix, ifname string) error {
	delete(o.quiet, p)
	a := o.exports.attributes(p)
	a.Interface = ifname
	old, ok := o.all[p]
	switch {
	case !ok:
		return o.announce(p, a, o.rivals.watch(p))
	case !old.attributes.Equal(a):
		return o.announce(p, a, old.better)
	}
	return nil
}

// told reports whether p is originated, or a block that covers it.
func (o *origins) told(p netip.Prefix) bool {
	_, told := o.all[p]
	_, quiet := o.quiet[p]
	return told || quiet
}

// challenged reports whether another host has a path to what a block of ours
// covers. Of what is originated plainly nobody knows: the speaker tells of other
// paths once it is not.
func (o *origins) challenged(p netip.Prefix) bool {
	was, told := o.all[p]
	switch {
	case !told:
		return o.rivals.watch(p)
	case was.better:
		return o.contested(p)
	}
	return false
}

// cover leaves p to its block, for as long as no other host has a path to it.
func (o *origins) cover(p netip.Prefix, ifname string) {
	o.withdraw(p)
	o.quiet[p] = ifname
	o.rivals.watch(p)
}

func (o *origins) announce(p netip.Prefix, a bgp.Attributes, better bool) error {
	told := a
	if better {
		told.LocalPref = elevatedLocalPref
	}
	if err := o.speaker.Originate(p, told); err != nil {
		o.rivals.unwatch(p)
		return fmt.Errorf("originate: %w", err)
	}
	o.count(p, -1)
	o.all[p] = origin{better, a}
	o.count(p, +1)
	if !better {
		o.rivals.unwatch(p)
	}
	return nil
}

func (o *origins) withdraw(p netip.Prefix) {
	if !o.told(p) {
		return
	}
	o.rivals.unwatch(p)
	if _, quiet := o.quiet[p]; quiet {
		delete(o.quiet, p)
		return
	}
	o.count(p, -1)
	delete(o.all, p)
	_ = o.speaker.Withdraw(p) // fails only when the speaker has stopped
}

// settle announces as plain, or leaves to its block, what is no longer
// contested, and originates what has come to be.
func (o *origins) settle() {
	for p, ifname := range o.quiet {
		if o.challenged(p) {
			_ = o.tell(p, ifname) // tried again at the next news of the endpoint
		}
	}
	if o.better == 0 {
		return
	}
	for p, was := range o.all {
		switch {
		case !was.better || o.contested(p):
		case o.covered(p):
			o.cover(p, was.attributes.Interface)
		default:
			_ = o.announce(p, was.attributes, false) // tried again at the next settle
		}
	}
}

// contested reports whether a peer still has a path to p of its own. A Speaker
// need not tell of the paths of others to what we originate, but it has them.
func (o *origins) contested(p netip.Prefix) bool {
	if o.rivals.watch(p) {
		return true
	}
	for e := range o.speaker.Routes(bgp.Query{Within: p}) {
		if !e.Own && e.Prefix == p && e.Refused == "" {
			return true
		}
	}
	return false
}

// count keeps the number of prefixes that are announced as the better path.
func (o *origins) count(p netip.Prefix, delta int) {
	if o.all[p].better {
		o.better += delta
	}
}
