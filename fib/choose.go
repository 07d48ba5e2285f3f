package fib

import (
	"errors"
	"fmt"
	"net/netip"
	"unique"
)

// Reasons why a wanted route is not in the kernel. They end by themselves and
// are no failures.
var (
	// ErrInterface: the interface is missing, or down.
	ErrInterface = errors.New("interface not ready")
	// ErrUnresolved: the route's group has no next hops.
	ErrUnresolved = errors.New("no next hops")
	// ErrFamily: an IPv6 route cannot have an IPv4 gateway.
	ErrFamily = errors.New("gateway of another family")
	// ErrStranger: somebody else's route is in the slot.
	ErrStranger = errors.New("slot held by a route that is not ours")
	// ErrForeign: the host has a route of its own to a learned network.
	ErrForeign = errors.New("the host has a route of its own")
)

// choose finds the strongest wanted route for prefix that can be realised. A
// weaker one serves until the stronger can be: the packets of a workload whose
// interface is not there yet still reach where it comes from.
func (t *Table) choose(prefix netip.Prefix) {
	if !t.known {
		return
	}
	t.markLocked(prefix)
	var problem error
	for _, source := range order(prefix) {
		handle, ok := t.wanted[source][prefix]
		if !ok {
			continue
		}
		v, err := t.realise(prefix, source, handle.Value())
		if err == nil {
			if before := t.routes.Want(prefix, v); before != v {
				t.objects.use(objectOf(before), -1)
				t.objects.use(v.Value().object, +1)
			}
			t.setProblem(prefix, problem)
			return
		}
		if problem == nil {
			problem = err
		}
	}
	t.objects.use(objectOf(t.routes.Unwant(prefix)), -1)
	t.setProblem(prefix, problem)
}

func objectOf(v value) uint32 {
	if v == (value{}) {
		return 0
	}
	return v.Value().object
}

func (t *Table) setProblem(prefix netip.Prefix, problem error) {
	delete(t.failed, prefix)
	if problem == nil {
		delete(t.problems, prefix)
		return
	}
	t.problems[prefix] = problem
}

// realise says what the kernel should hold for a wanted route as things are.
func (t *Table) realise(prefix netip.Prefix, source Source, s spec) (value, error) {
	v := entryValue{protocol: t.opts.Protocols[source], src: s.src}
	family := FamilyOf(prefix.Addr())
	if source == BGP {
		if own, ok := t.outside.network(prefix); ok {
			return value{}, fmt.Errorf("protocol %d, metric %d: %w", own.Protocol, own.Metric, ErrForeign)
		}
	}
	switch {
	case s.blackhole:
		v.kind = KindBlackhole
	case s.group == "":
		hops, err := t.outside.plainHops(unpackNextHops(s.hops), family)
		if err != nil {
			return value{}, err
		}
		v.hops = packHops(hops)
	case t.objects.enabled:
		id, err := t.objects.object(s.group, family, &t.outside, func() uint32 {
			observed, _ := t.routes.Observed(prefix)
			return objectOf(observed)
		})
		if err != nil {
			return value{}, err
		}
		v.object = id
	default:
		hops, err := t.objects.plain(s.group, family, &t.outside)
		if err != nil {
			return value{}, err
		}
		v.hops = hops
	}
	return unique.Make(v), nil
}

// chooseGroups chooses again for all routes of the groups in keys: one walk,
// however many groups have moved.
func (t *Table) chooseGroups(keys map[GroupKey]struct{}) {
	if len(keys) == 0 {
		return
	}
	for s := range t.wanted {
		for prefix, handle := range t.wanted[s] {
			if _, ok := keys[handle.Value().group]; ok {
				t.choose(prefix)
			}
		}
	}
}

func (t *Table) chooseAll() {
	for s := range t.wanted {
		for prefix := range t.wanted[s] {
			t.choose(prefix)
		}
	}
}

// plainHops turns next hops into what a plain route can hold now: those whose
// link has a carrier or, when none has, those whose link is up.
func (o *outside) plainHops(hops []NextHop, family Family) ([]Hop, error) {
	ready, err := o.readyHops(hops, family, func(l Link) bool { return l.Carrier })
	if err != nil {
		ready, err = o.readyHops(hops, family, func(l Link) bool { return l.Up })
	}
	return ready, err
}

// readyHops returns the hops whose link satisfies ready, without doubles, or
// the reason why there is none.
func (o *outside) readyHops(hops []NextHop, family Family, ready func(Link) bool) ([]Hop, error) {
	err := ErrUnresolved
	var out []Hop
	for _, h := range hops {
		index, ok := o.byName[h.Interface]
		switch {
		case family == IPv6 && h.Gateway.Is4():
			err = ErrFamily
		case !ok:
			err = fmt.Errorf("interface %s is missing: %w", h.Interface, ErrInterface)
		case !ready(o.links[index]):
			err = fmt.Errorf("interface %s is down: %w", h.Interface, ErrInterface)
		default:
			hop := Hop{Gateway: h.Gateway.WithZone(""), Index: index, Onlink: h.Onlink, Weight: h.Weight}
			if !contains(out, hop) {
				out = append(out, hop)
			}
		}
	}
	if len(out) == 0 {
		return nil, err
	}
	if len(out) == 1 {
		out[0].Weight = 0 // a share of one means nothing, and the kernel drops it
	}
	return out, nil
}

func contains(hops []Hop, hop Hop) bool {
	for _, h := range hops {
		if h.Gateway == hop.Gateway && h.Index == hop.Index {
			return true
		}
	}
	return false
}
