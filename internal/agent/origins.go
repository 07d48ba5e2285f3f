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
type origins struct {
	speaker bgp.Speaker
	rivals  *learned
	exports *exports
	all     map[netip.Prefix]origin
	better  int
}

// origin is how a prefix was announced.
type origin struct {
	better     bool // as the better path
	attributes bgp.Attributes
}

func newOrigins(s bgp.Speaker, r *learned, e *exports) *origins {
	return &origins{speaker: s, rivals: r, exports: e, all: make(map[netip.Prefix]origin)}
}

// originate announces p, which is forwarded to an interface, if it is not yet,
// or with other attributes. The error says why peers are not told; a prefix
// that only the pools keep back is told once they let it.
func (o *origins) originate(p netip.Prefix, ifname string) error {
	a := o.exports.attributes(p)
	a.Interface = ifname
	old, ok := o.all[p]
	switch {
	case !ok:
		if err := o.announce(p, a, o.rivals.watch(p)); err != nil {
			return err
		}
	case !old.attributes.Equal(a):
		if err := o.announce(p, a, old.better); err != nil {
			return err
		}
	}
	if why := o.exports.refusal(p); why != "" {
		return fmt.Errorf("peers are not told: %s", why)
	}
	return nil
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
	if _, ok := o.all[p]; !ok {
		return
	}
	o.count(p, -1)
	delete(o.all, p)
	o.rivals.unwatch(p)
	_ = o.speaker.Withdraw(p) // fails only when the speaker has stopped
}

// settle announces as plain what is no longer contested.
func (o *origins) settle() {
	if o.better == 0 {
		return
	}
	for p, was := range o.all {
		if was.better && !o.contested(p) {
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
