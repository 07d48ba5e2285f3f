package policytest

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// Open makes a dataplane in a network namespace, which a file descriptor tells.
// It closes it with the test.
type Open func(t *testing.T, netns int) policy.Dataplane

// Run sends real packets through a dataplane and compares their fates with the
// verdicts that the semantics give: for all cases, then for random policy.
func Run(t *testing.T, open Open) {
	testenv.Need(t, "root", "program:nft", "program:ip")
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	s := newSuite(t, open)
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.Name, func(t *testing.T) { s.run(t, c) })
		}
	})
	t.Run("natOutgoing", s.natOutgoing)
	t.Run("disguised", s.disguised)
	t.Run("random", s.random)
}

// clusters is how many random clusters there are to be: as many as usual, or as
// VROUTER_POLICY_CLUSTERS says. Each has two policies to thirteen.
func clusters(usual uint64) uint64 {
	n, err := strconv.ParseUint(os.Getenv("VROUTER_POLICY_CLUSTERS"), 10, 32)
	if err != nil {
		return usual
	}
	return n
}

// random compares the fates of packets in random clusters, one becoming
// another, with the reference.
func (s *suite) random(t *testing.T) {
	site, err := objects(nil)
	if err != nil {
		t.Fatal(err)
	}
	var all tally
	for seed := range clusters(400) {
		r := newRandom(seed)
		if seed%8 == 7 {
			s.synced = false // as after a failure
		}
		list := r.objects(site)
		journeys := r.journeys(batch)
		s.compareAll(t, fmt.Sprint("seed ", seed), list, journeys)
		if t.Failed() {
			return
		}
		all.add(list, len(journeys))
	}
	t.Log(all)
}

// tally is how much was compared.
type tally struct{ clusters, policies, rules, packets int }

func (n *tally) add(cluster []resource.Object, packets int) {
	n.clusters++
	n.packets += packets
	for _, o := range cluster {
		if p, ok := o.(*resource.Policy); ok {
			n.policies++
			n.rules += len(p.Ingress) + len(p.Egress)
		}
	}
}

func (n tally) String() string {
	return fmt.Sprintf("%d clusters with %d policies of %d rules, and %d packets", n.clusters, n.policies, n.rules, n.packets)
}

// suite is a bed with a dataplane that follows what is stored.
type suite struct {
	*bed
	plane    policy.Dataplane
	resolver *policy.Resolver
	stored   map[resource.ID]resource.Object
	synced   bool
}

func newSuite(t *testing.T, open Open) *suite {
	t.Helper()
	s := &suite{bed: newBed(t), resolver: policy.NewResolver(hostName), stored: make(map[resource.ID]resource.Object)}
	s.plane = open(t, int(s.host.NetNS()))
	s.resolver.SetHost(policy.Host{Interfaces: uplinks()})
	return s
}

// store makes objects what is stored, and has the dataplane enforce it: by what
// changes, as a host that runs does.
func (s *suite) store(t *testing.T, objects []resource.Object) {
	t.Helper()
	gone := s.stored
	s.stored = make(map[resource.ID]resource.Object)
	for _, o := range objects {
		id := o.Metadata().ID
		if gone[id] != o {
			s.resolver.Put(o)
		}
		s.stored[id] = o
		delete(gone, id)
	}
	for id := range gone {
		s.resolver.Delete(id)
	}
	if s.synced {
		err := s.plane.Apply(t.Context(), s.resolver.Drain())
		if err == nil {
			return
		}
		s.synced = false
		t.Errorf("apply: %v", err)
	}
	if err := s.plane.Sync(t.Context(), s.resolver.All()); err != nil {
		t.Fatalf("sync: %v", err)
	}
	s.synced = true
}

// run checks the probes of a case.
func (s *suite) run(t *testing.T, c Case) {
	var journeys []Journey
	for _, p := range c.Probes {
		list, err := flights(c.Objects, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if j := f.journey(); j != nil {
				journeys = append(journeys, *j)
			}
		}
	}
	s.compareAll(t, c.Name, c.Objects, journeys)
}

// compareAll stores objects and sends packets. When the dataplane was told of
// changes and is wrong, it is told everything: that shows whose fault it is.
func (s *suite) compareAll(t *testing.T, name string, objects []resource.Object, journeys []Journey) {
	t.Helper()
	s.store(t, objects)
	reference := NewReference(objects...)
	reference.Interfaces = uplinks()
	wrong := s.compare(t, reference, journeys)
	if len(wrong) == 0 {
		return
	}
	for _, text := range wrong {
		t.Errorf("%s: %s", name, text)
	}
	s.synced = false
	s.store(t, objects)
	t.Logf("%s: %d of %d wrong, %d after everything was told anew",
		name, len(wrong), len(journeys), len(s.compare(t, reference, journeys)))
}

// compare sends packets, and answers to those that got through, and says what
// is wrong.
func (s *suite) compare(t *testing.T, r *Reference, journeys []Journey) (wrong []string) {
	t.Helper()
	for len(journeys) > 0 {
		n, seen, err := s.send(journeys)
		if err != nil {
			t.Fatal(err)
		}
		var through []Journey
		for i, j := range journeys[:n] {
			at, came := seen[i]
			text := fate(r, j, at, came)
			if text != "" {
				wrong = append(wrong, text)
			} else if came && r.isAnswered(j) {
				through = append(through, j)
			}
		}
		wrong = append(wrong, s.answer(t, through)...)
		journeys = journeys[n:]
	}
	return wrong
}

// fate says what is wrong with what became of a packet.
func fate(r *Reference, j Journey, at sighting, came bool) string {
	passes, stage := r.Verdict(j)
	switch {
	case stage == notTranslated && at.at == "":
	case passes && !came:
		return fmt.Sprintf("%+v: lost, and should come out at %q", j.Packet, j.Out)
	case !passes && came:
		return fmt.Sprintf("%+v: came out at %q, and should be stopped: %s", j.Packet, at.at, stage)
	case came && at.at != j.Out:
		return fmt.Sprintf("%+v: came out at %q, not at %q", j.Packet, at.at, j.Out)
	}
	return ""
}

// verdict is that of all hosts on the way of a packet.
func (r *Reference) verdict(f flight) (passes bool, stage string) {
	for _, j := range f.journeys {
		if passes, stage := r.Verdict(j); !passes {
			return false, j.Node + ": " + stage
		}
	}
	return true, ""
}
