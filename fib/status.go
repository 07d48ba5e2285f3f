package fib

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"
)

// Status is how a prefix stands.
type Status struct {
	Prefix netip.Prefix
	// Source whose route is chosen: the strongest that can be realised, or
	// the strongest when none can. Meaningless unless Wanted.
	Source Source
	Wanted bool
	// Programmed: the kernel holds the chosen route.
	Programmed bool
	// Err says why the strongest wanted route is not in the kernel; a weaker
	// one may be.
	Err error
}

// State is all that is known of a prefix.
type State struct {
	Status
	Routes [numSources]*Route // what each source wants
	Kernel *Entry             // our route as the kernel holds it
	Holder *Entry             // a stranger's route in the slot
}

// Changed signals that Drain has something to tell.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// Drain returns the present status of all prefixes whose status may have
// changed since the last Drain, in no order.
func (t *Table) Drain() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Status, 0, len(t.dirty))
	for prefix := range t.dirty {
		out = append(out, t.statusLocked(prefix))
	}
	t.dirty = make(map[netip.Prefix]struct{})
	return out
}

// Get returns what is known of one prefix.
func (t *Table) Get(prefix netip.Prefix) State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stateLocked(prefix.Masked())
}

// States returns what is known of every prefix that is wanted, or held by a
// route of ours, in the order of prefixes.
func (t *Table) States() []State {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := make(map[netip.Prefix]struct{}, t.routes.Len())
	for prefix := range t.routes.All() {
		seen[prefix] = struct{}{}
	}
	for _, wanted := range t.wanted {
		for prefix := range wanted {
			seen[prefix] = struct{}{}
		}
	}
	out := make([]State, 0, len(seen))
	for prefix := range seen {
		out = append(out, t.stateLocked(prefix))
	}
	slices.SortFunc(out, func(a, b State) int { return comparePrefix(a.Prefix, b.Prefix) })
	return out
}

// Interfaces returns where our route to a prefix leads in the kernel, or may lead
// in a moment because it is being written, unless it names a next-hop object;
// nil: there is none.
func (t *Table) Interfaces(prefix netip.Prefix) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	hops := slices.Clone(t.writing[prefix].Hops)
	if v, ok := t.routes.Observed(prefix); ok {
		hops = append(hops, unpackHops(v.Value().hops)...)
	}
	var names []string
	for _, h := range hops {
		names = append(names, t.outside.links[h.Index].Name)
	}
	return names
}

// Left returns to which interfaces the routes lead that the kernel has with the
// mark of source, as those to workloads do: by no gateway, and to none that the
// host has an address on. Such a one is the host's way to others, whatever a
// route says that was left there by mistake, or when the mark was another's.
func (t *Table) Left(source Source) map[netip.Prefix][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := make(map[int32]bool)
	for a := range t.outside.addresses {
		own[a.Index] = own[a.Index] || !a.Addr.IsLinkLocalUnicast() // which gateways of workloads are
	}
	all := make(map[netip.Prefix][]string)
	for prefix := range t.routes.All() {
		v, ok := t.routes.Observed(prefix)
		if !ok || v.Value().protocol != t.opts.Protocols[source] {
			continue
		}
		for _, hop := range unpackHops(v.Value().hops) {
			if name := t.outside.links[hop.Index].Name; name != "" && !hop.Gateway.IsValid() && !own[hop.Index] {
				all[prefix] = append(all[prefix], name)
			}
		}
	}
	return all
}

// Count returns how many routes the source has in the kernel and how many it
// wants; routes that a stronger source overrides are wanted only.
func (t *Table) Count(source Source) (programmed, wanted int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for prefix := range t.wanted[source] {
		if s := t.statusLocked(prefix); s.Source == source && s.Programmed {
			programmed++
		}
	}
	return programmed, len(t.wanted[source])
}

// Stats counts what a Table has done since it was made.
type Stats struct {
	Writes       uint64        // changes asked of the kernel
	Refused      uint64        // of these, refused
	Foreign      uint64        // events of others changing our routes and objects
	ReadBacks    uint64        // complete ones
	LastReadBack time.Duration // how long the last took
}

// Stats returns the counters.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// apply makes changes and counts them.
func (t *Table) apply(ctx context.Context, changes []Change) []error {
	if len(changes) == 0 {
		return nil
	}
	errs := t.kernel.Apply(ctx, changes)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Writes += uint64(len(changes))
	for _, err := range errs {
		if err != nil {
			t.stats.Refused++
		}
	}
	return errs
}

// Ready is closed when the kernel was read and each wanted route was tried
// once, those whose interface is missing included.
func (t *Table) Ready() <-chan struct{} { return t.ready }

// Adopted says for which sources and families routes with our mark were found
// when the kernel was first read. It is all false before.
func (t *Table) Adopted() [numSources][numFamilies]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.adopted
}

func (t *Table) statusLocked(prefix netip.Prefix) Status {
	s := Status{Prefix: prefix, Err: t.problems[prefix]}
	for _, source := range order(prefix) {
		if _, ok := t.wanted[source][prefix]; ok {
			s.Wanted, s.Source = true, source
			break
		}
	}
	if v, ok := t.routes.Wanted(prefix); ok {
		strongest := s.Source
		s.Source, _ = t.sourceOf(v.Value().protocol)
		s.Programmed = t.routes.InSync(prefix)
		if s.Programmed && s.Source == strongest {
			s.Err = nil // what the kernel refused once, it was found to hold
		}
	}
	return s
}

func (t *Table) stateLocked(prefix netip.Prefix) State {
	state := State{Status: t.statusLocked(prefix)}
	for source := range t.wanted {
		if handle, ok := t.wanted[source][prefix]; ok {
			route := handle.Value().route()
			state.Routes[source] = &route
		}
	}
	if v, ok := t.routes.Observed(prefix); ok {
		e := t.entry(prefix, v)
		state.Kernel = &e
	}
	if e, ok := t.outside.holder(prefix, t.opts.Metric); ok {
		state.Holder = &e
	}
	return state
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
