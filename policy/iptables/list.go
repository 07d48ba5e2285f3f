package iptables

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/policy"
)

// Networks that a rule says itself become a set when one match cannot hold
// them. Rules that say the same ones share it.

// lists is those that somebody uses, by the name of their set.
type lists struct {
	all   map[string]*list
	moved map[string]struct{} // whose users are others since the last render
}

type list struct {
	family *family
	nets   []netip.Prefix
	users  map[string]struct{} // units, see units
}

// A listing is what one unit uses.
type listing map[string]*list

// set returns the set of these networks, all of family f.
func (l listing) set(f *family, nets []netip.Prefix) string {
	nets = slices.Clone(nets)
	slices.SortFunc(nets, netip.Prefix.Compare)
	nets = slices.Compact(nets)
	var b strings.Builder
	for _, p := range nets {
		b.WriteString(p.String() + "\n")
	}
	name := setName(f, listLetter, policy.SetID(hash(b.String(), 27)))
	l[name] = &list{family: f, nets: nets}
	return name
}

// use takes note of what a unit uses now, in place of what it used before.
func (l *lists) use(unit string, before, now listing) {
	for name := range before {
		if now[name] == nil {
			delete(l.all[name].users, unit)
			l.moved[name] = struct{}{}
		}
	}
	for name, list := range now {
		if l.all[name] == nil {
			list.users = map[string]struct{}{}
			l.all[name] = list
		}
		l.all[name].users[unit] = struct{}{}
		l.moved[name] = struct{}{}
	}
}
