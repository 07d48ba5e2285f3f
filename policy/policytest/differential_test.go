package policytest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// TestDifferential compares what the resolver makes of random clusters with the
// reference, at every point and in both directions, also as one cluster becomes
// another.
func TestDifferential(t *testing.T) {
	site, err := objects(nil)
	if err != nil {
		t.Fatal(err)
	}
	var d *differ
	var all tally
	for seed := range clusters(1500) {
		if seed%16 == 0 {
			d = newDiffer(t)
		}
		r := newRandom(seed)
		list := r.objects(site)
		d.name = fmt.Sprint("seed ", seed)
		d.store(list)
		journeys := r.journeys(40)
		for _, j := range journeys {
			d.compare(j)
		}
		if t.Failed() {
			return
		}
		all.add(list, len(journeys))
	}
	t.Log(all)
}

// differ compares what is resolved with the reference.
type differ struct {
	*testing.T
	name      string // of what is compared
	resolver  *policy.Resolver
	state     *policy.State
	stored    map[resource.ID]resource.Object
	reference *Reference
}

func newDiffer(t *testing.T) *differ {
	d := &differ{T: t, resolver: policy.NewResolver(hostName), state: new(policy.State), stored: make(map[resource.ID]resource.Object)}
	d.resolver.SetHost(policy.Host{Interfaces: uplinks()})
	return d
}

// store makes objects what is stored.
func (d *differ) store(list []resource.Object) {
	gone := d.stored
	d.stored = make(map[resource.ID]resource.Object)
	for _, o := range list {
		id := o.Metadata().ID
		d.resolver.Put(o)
		d.stored[id] = o
		delete(gone, id)
	}
	for id := range gone {
		d.resolver.Delete(id)
	}
	if err := errors.Join(d.state.Apply(d.resolver.Drain()), d.state.Check()); err != nil {
		d.Fatalf("%s: %v", d.name, err)
	}
	d.reference = NewReference(list...)
	d.reference.Interfaces = uplinks()
}

// compare asks both about a packet wherever it could be decided on.
func (d *differ) compare(j Journey) {
	d.Helper()
	r := d.reference
	for _, name := range []string{j.In, j.Out} {
		if name == "" {
			continue
		}
		isWorkload := r.isWorkload(hostName, name)
		if w := r.only(hostName, name); w != nil {
			e := d.state.Endpoints[w.Endpoint]
			d.same(j, r.workload(w), normal, policy.Ingress, e.Ingress)
			d.same(j, r.workload(w), normal, policy.Egress, e.Egress)
			if name == j.In {
				d.sameSource(j, e)
			}
		}
		h := r.hostEndpoint(hostName, name, isWorkload)
		told := d.state.HostEndpoints[name]
		if told == nil {
			told = d.state.HostEndpoints[policy.AnyInterface]
		}
		if (h == nil) != (told == nil) || h != nil && h.ID != told.ID {
			d.Errorf("%s: %s is subject to %+v, told %+v", d.name, name, h, told)
			continue
		}
		if h == nil {
			continue
		}
		s := r.host(h)
		d.same(j, s, normal, policy.Ingress, told.Normal.Ingress)
		d.same(j, s, normal, policy.Egress, told.Normal.Egress)
		d.same(j, s, forward, policy.Ingress, told.Forward.Ingress)
		d.same(j, s, forward, policy.Egress, told.Forward.Egress)
		d.same(j, s, untracked, policy.Ingress, told.Untracked.Ingress)
		d.same(j, s, untracked, policy.Egress, told.Untracked.Egress)
		d.same(j, s, preDNAT, policy.Ingress, told.PreDNAT)
	}
}

// sameSource compares what an endpoint may send from. What holds for addresses
// of the link is the dataplane's to know.
func (d *differ) sameSource(j Journey, e *policy.Endpoint) {
	d.Helper()
	a := j.Packet.Source
	if a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return
	}
	got := slices.Contains(e.Addresses, a) || slices.ContainsFunc(e.Spoofs, func(n netip.Prefix) bool { return n.Contains(a) })
	if stage := d.reference.source(j); got != (stage == "") {
		d.Errorf("%s: %s from %s: reference %q, resolved %+v", d.name, j.In, a, stage, e)
	}
}

func (d *differ) same(j Journey, s subject, at point, dir policy.Direction, pipeline string) {
	d.Helper()
	got := policy.Decision{Action: policy.Pass}
	if pipeline != "" {
		var err error
		if got, err = d.state.Decide(pipeline, j.Packet); err != nil {
			d.Errorf("%s: %v", d.name, err)
			return
		}
	}
	if want := d.reference.decide(s, at, dir, j.Packet); got.Action != want {
		d.Errorf("%s: %+v at point %d, %s: reference %s, resolved %s by %+v", d.name, j.Packet, at, dir, want, got.Action, got.Hit)
	}
}
