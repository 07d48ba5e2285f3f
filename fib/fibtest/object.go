package fibtest

import (
	"fmt"
	"slices"

	"github.com/projectvrouter/vrouter/fib"
)

func (k *Kernel) applyObject(op fib.Op, o fib.Object, foreign bool) error {
	if k.NoObjects {
		return fmt.Errorf("no next-hop objects here: %w", ErrInvalid)
	}
	o.Group = slices.Clone(o.Group)
	old, exists := k.objects[o.ID]
	switch {
	case op == fib.Delete:
		if exists {
			k.removeObject(o.ID, foreign)
		}
		return nil
	case exists && op == fib.Create:
		return fib.ErrExists
	case exists && old.IsGroup != o.IsGroup:
		return fmt.Errorf("object %d: a group does not replace an object, nor the reverse: %w", o.ID, ErrInvalid)
	}
	if err := k.checkObject(o); err != nil {
		return fmt.Errorf("object %d: %w", o.ID, err)
	}
	k.objects[o.ID] = o
	if foreign {
		presence := fib.Present
		if exists {
			presence = fib.Replacing
		}
		k.tellObject(o, presence)
	}
	return nil
}

func (k *Kernel) checkObject(o fib.Object) error {
	if !o.IsGroup {
		if link := k.links[o.Hop.Index]; link.Up && !link.Carrier {
			return fmt.Errorf("interface %s has no carrier: %w", link.Name, ErrDown)
		}
		return k.checkHop(o.Hop)
	}
	if len(o.Group) == 0 {
		return fmt.Errorf("empty group: %w", ErrInvalid)
	}
	seen := make(map[uint32]bool)
	for _, m := range o.Group {
		member, ok := k.objects[m.ID]
		if !ok || member.IsGroup || seen[m.ID] {
			return fmt.Errorf("member %d is missing, a group, or twice there: %w", m.ID, ErrInvalid)
		}
		seen[m.ID] = true
	}
	return nil
}

// removeObject removes an object, its place in groups, groups left empty, and
// the routes that name what goes; those of IPv4 silently.
func (k *Kernel) removeObject(id uint32, tell bool) {
	o := k.objects[id]
	delete(k.objects, id)
	if tell {
		k.tellObject(o, fib.Gone)
	}
	for gid, group := range k.objects {
		rest := slices.DeleteFunc(slices.Clone(group.Group), func(m fib.Member) bool { return m.ID == id })
		switch {
		case !group.IsGroup || len(rest) == len(group.Group):
		case len(rest) == 0:
			k.removeObject(gid, tell)
		default:
			group.Group = rest
			k.objects[gid] = group
			if tell {
				k.tellObject(group, fib.Present)
			}
		}
	}
	for p, entries := range k.routes {
		k.setEntries(p, slices.DeleteFunc(slices.Clone(entries), func(e fib.Entry) bool {
			if e.Object == id && p.Addr().Is6() {
				k.tellEntry(e, fib.Gone)
			}
			return e.Object == id
		}))
	}
}

func (k *Kernel) hasIPv4(o fib.Object) bool {
	if !o.IsGroup {
		return o.Family == fib.IPv4
	}
	return slices.ContainsFunc(o.Group, func(m fib.Member) bool { return k.hasIPv4(k.objects[m.ID]) })
}
