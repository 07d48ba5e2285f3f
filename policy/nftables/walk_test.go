package nftables

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
)

// randomUpdate is everything of a small host.
func randomUpdate(r *rand.Rand) *policy.Update {
	u := baseUpdate(0)
	u.HostEndpoints = map[string]*policy.HostEndpoint{}
	s := u.Settings
	s.Reject, s.KeepInvalid, s.AllowVXLAN = r.IntN(4) == 0, r.IntN(4) == 0, r.IntN(4) == 0
	s.ToHost = []policy.Action{policy.Deny, policy.Pass}[r.IntN(2)]
	s.VXLANPort = []uint16{0, 4789}[r.IntN(2)]
	s.IPIP = r.IntN(2) == 0
	s.FailsafeInbound = []policy.Failsafe{{Protocol: 6, Port: 22}}[:r.IntN(2)]
	kinds := map[policy.SetID]policy.SetKind{
		"a": policy.Addresses, "n": policy.Networks, "p": policy.Ports,
		policy.NodeSet: policy.Addresses, policy.PoolSet: policy.Networks, policy.MasqueradeSet: policy.Networks,
	}
	var sets []policy.SetID
	for _, id := range slices.Sorted(maps.Keys(kinds)) { // in order, so that a seed gives the same again
		if kind := kinds[id]; r.IntN(5) > 0 {
			u.Sets[id] = &policy.SetChange{Kind: kind, New: true, Add: randomMembers(r, kind)}
			sets = append(sets, id)
		}
	}
	for i := range 5 {
		id := policyID(fmt.Sprint("random-", i))
		p := &policy.Policy{ID: id, Staged: i == 4}
		for n := range r.IntN(4) {
			p.Ingress = append(p.Ingress, randomRule(r, n, u, sets))
			p.Egress = append(p.Egress, randomRule(r, n, u, sets))
		}
		u.Policies[id] = p
	}
	for i := range 3 {
		randomPipeline(r, u, fmt.Sprint("in", i), policy.Ingress, policy.Deny)
		randomPipeline(r, u, fmt.Sprint("out", i), policy.Egress, policy.Deny)
		randomPipeline(r, u, fmt.Sprint("inpass", i), policy.Ingress, policy.Pass)
		randomPipeline(r, u, fmt.Sprint("outpass", i), policy.Egress, policy.Pass)
	}
	pick := func(name string) string { return fmt.Sprint(name, r.IntN(3)) }
	for i := range r.IntN(4) {
		e := &policy.Endpoint{ID: endpointID(i), Interface: fmt.Sprint("cali", r.IntN(6)), Ingress: pick("in"), Egress: pick("out")}
		if r.IntN(3) == 0 {
			e.Spoofs = prefixes("10.99.0.0/24")
		}
		u.Endpoints[e.ID] = e
	}
	for _, iface := range []string{"eth0", "eth1", policy.AnyInterface} {
		if r.IntN(3) > 0 {
			continue
		}
		h := &policy.HostEndpoint{Interface: iface, Normal: policy.Pair{Ingress: pick("in"), Egress: pick("out")}}
		if r.IntN(2) == 0 {
			h.Forward.Ingress, h.PreDNAT = pick("in"), pick("inpass")
		}
		if r.IntN(2) == 0 {
			h.Forward.Egress, h.Untracked = pick("out"), policy.Pair{Ingress: pick("inpass"), Egress: pick("outpass")}
		}
		u.HostEndpoints[iface] = h
	}
	return u
}

func randomMembers(r *rand.Rand, kind policy.SetKind) []policy.Member {
	var out []policy.Member
	seen := map[policy.Member]bool{}
	for range r.IntN(5) {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(2)), byte(r.IntN(4))})
		if r.IntN(5) == 0 {
			addr = netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(3))})
		}
		m := policy.Member{Prefix: netip.PrefixFrom(addr, addr.BitLen())}
		switch kind {
		case policy.Networks:
			m.Prefix = netip.PrefixFrom(addr, addr.BitLen()-8*r.IntN(3)).Masked()
		case policy.Ports:
			m.Protocol, m.Port = 6, uint16(80+r.IntN(3))
		}
		if !seen[m] {
			seen[m] = true
			out = append(out, m)
		}
	}
	return out
}

func randomRule(r *rand.Rand, index int, u *policy.Update, sets []policy.SetID) policy.Rule {
	rule := policy.Rule{
		Index: index, Action: []policy.Action{policy.Allow, policy.Deny, policy.Pass, policy.Log}[r.IntN(4)],
		Protocol: []uint8{0, 6, 17}[r.IntN(3)],
	}
	for _, side := range []*policy.Side{&rule.Source, &rule.Destination} {
		if rule.Protocol != 0 && r.IntN(3) == 0 {
			side.Ports = []policy.PortRange{{First: 80, Last: 81}, {First: 8080, Last: 8080}}[r.IntN(2):]
		}
		if r.IntN(4) == 0 {
			side.NotNets = prefixes("10.0.0.0/25", "fd00::/16")[r.IntN(2):]
		}
		for _, id := range sets {
			switch kind := u.Sets[id].Kind; {
			case r.IntN(4) > 0:
			case kind == policy.Ports && rule.Protocol != 0:
				side.PortSets = append(side.PortSets, id)
			case kind != policy.Ports && r.IntN(2) == 0:
				side.Sets = append(side.Sets, id)
			case kind != policy.Ports:
				side.NotSets = append(side.NotSets, id)
			}
		}
	}
	return rule
}

func randomPipeline(r *rand.Rand, u *policy.Update, id string, d policy.Direction, end policy.Action) {
	p := &policy.Pipeline{ID: id, Direction: d, End: end}
	ids := slices.SortedFunc(maps.Keys(u.Policies), func(a, b resource.ID) int { return strings.Compare(a.Name, b.Name) })
	for range r.IntN(3) {
		tier := policy.Tier{Name: fmt.Sprint("tier", len(p.Tiers)), End: []policy.Action{policy.Deny, policy.Pass}[r.IntN(2)]}
		for _, policy := range ids {
			if r.IntN(3) == 0 {
				tier.Policies = append(tier.Policies, refTo(u, policy))
			}
		}
		if r.IntN(3) == 0 { // long enough to be shared, of the same few
			tier = policy.Tier{Name: "long", End: policy.Deny}
			for few := 1 + r.IntN(2); len(tier.Policies) < manyPolicies; {
				tier.Policies = append(tier.Policies, refTo(u, ids[len(tier.Policies)%few]))
			}
		}
		p.Tiers = append(p.Tiers, tier)
	}
	if r.IntN(2) == 0 {
		p.Profiles = append(p.Profiles, ids[r.IntN(len(ids)-1)])
	}
	u.Pipelines[id] = p
}

func refTo(u *policy.Update, id resource.ID) policy.Ref {
	return policy.Ref{ID: id, Staged: u.Policies[id].Staged}
}

// between is the update from one state to another.
func between(a, b *policy.Update) *policy.Update {
	u := &policy.Update{
		Policies: changed(a.Policies, b.Policies), Pipelines: changed(a.Pipelines, b.Pipelines),
		Endpoints: changed(a.Endpoints, b.Endpoints), HostEndpoints: changed(a.HostEndpoints, b.HostEndpoints),
		Sets: map[policy.SetID]*policy.SetChange{},
	}
	if !reflect.DeepEqual(a.Settings, b.Settings) {
		u.Settings = b.Settings
	}
	for id, set := range a.Sets {
		if b.Sets[id] == nil {
			u.Sets[id] = &policy.SetChange{Kind: set.Kind, Gone: true}
		}
	}
	for id, set := range b.Sets {
		old := a.Sets[id]
		if old == nil {
			u.Sets[id] = set
			continue
		}
		change := &policy.SetChange{Kind: set.Kind}
		for _, m := range set.Add {
			if !slices.Contains(old.Add, m) {
				change.Add = append(change.Add, m)
			}
		}
		for _, m := range old.Add {
			if !slices.Contains(set.Add, m) {
				change.Remove = append(change.Remove, m)
			}
		}
		if len(change.Add)+len(change.Remove) > 0 {
			u.Sets[id] = change
		}
	}
	return u
}

func changed[K comparable, V any](a, b map[K]*V) map[K]*V {
	out := map[K]*V{}
	for k := range a {
		if b[k] == nil {
			out[k] = nil
		}
	}
	for k, v := range b {
		if !reflect.DeepEqual(a[k], v) {
			out[k] = v
		}
	}
	return out
}

// A model is a kernel in memory: what the plans so far amount to.
type model struct {
	chains  map[string]string
	sets    map[string]map[string]string
	planned units
}

func newModel() *model {
	return &model{chains: map[string]string{}, sets: map[string]map[string]string{}, planned: units{}}
}

func (m *model) take(p *plan) {
	for name, c := range p.chains {
		if c == nil {
			delete(m.chains, name)
		} else {
			m.chains[name] = c.String()
		}
	}
	for name, t := range p.sets {
		if t == nil {
			delete(m.sets, name)
		} else if m.sets[name] == nil {
			m.sets[name] = map[string]string{}
		}
	}
	for name, elements := range p.elements {
		for key, v := range elements {
			if v == nil {
				delete(m.sets[name], key)
			} else {
				m.sets[name][key] = v.String()
			}
		}
	}
	for name, change := range p.members {
		if m.sets[name] == nil {
			continue
		}
		for key := range m.sets[name] {
			if _, reset := change.reset[setNumber([]byte(key[:8]))]; reset {
				delete(m.sets[name], key)
			}
		}
		for _, e := range change.remove {
			delete(m.sets[name], e.key)
		}
		for _, e := range change.add {
			m.sets[name][e.key] = ""
		}
	}
}

// without is the sets but for the members of sets that are gone, which stay
// until a sync.
func (m *model) without(gone map[policy.SetID][]kernelSet) map[string]map[string]string {
	out := map[string]map[string]string{}
	for name, set := range m.sets {
		out[name] = maps.Clone(set)
		if strings.HasPrefix(name, "members") || strings.HasPrefix(name, "ports") {
			maps.DeleteFunc(out[name], func(key, _ string) bool {
				return slices.ContainsFunc(slices.Collect(maps.Keys(gone)), func(id policy.SetID) bool {
					return numberOf(id) == setNumber([]byte(key[:8]))
				})
			})
		}
	}
	return out
}

// TestWalk goes from state to state by updates and expects what a fresh start
// in the state gives.
func TestWalk(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		from := &policy.Update{Settings: &policy.Settings{MarkMask: 0xff}}
		s, m := newState(), newModel()
		for range 5 {
			to := randomUpdate(r)
			m.take(s.render(s.merge(between(from, to)), m.planned))
			fresh, want := newState(), newModel()
			d := fresh.merge(to)
			d.all = true
			want.take(fresh.render(d, want.planned))
			if diff := cmp.Diff(want.chains, m.chains); diff != "" {
				t.Fatalf("seed %d: chains (-fresh +walked):\n%s", seed, diff)
			}
			if diff := cmp.Diff(want.sets, m.without(s.gone)); diff != "" {
				t.Fatalf("seed %d: sets (-fresh +walked):\n%s", seed, diff)
			}
			from = to
		}
	}
}

// TestWalkKernel does the same with the kernel, with restarts now and then.
func TestWalkKernel(t *testing.T) {
	testenv.Need(t, "program:nft")
	s, fresh := newSite(t, 0), newSite(t, 0)
	r := rand.New(rand.NewPCG(1, 2))
	from := randomUpdate(r)
	s.sync(t, from)
	for i := range 40 {
		to := randomUpdate(r)
		switch r.IntN(4) {
		case 0:
			s.plane.Close()
			s.plane = s.open(t)
			s.sync(t, to)
		case 1:
			s.sync(t, to)
		default:
			s.apply(t, between(from, to))
		}
		from = to
		if err := fresh.plane.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh.sync(t, to)
		if diff := cmp.Diff(withoutMembers(fresh.shape()), withoutMembers(s.shape())); diff != "" {
			t.Fatalf("step %d (-fresh +walked):\n%s", i, diff)
		}
		s.sync(t, to) // takes away the members of sets that are gone
		if diff := cmp.Diff(sorted(fresh.shape()), sorted(s.shape())); diff != "" {
			t.Fatalf("step %d (-fresh +synced):\n%s", i, diff)
		}
		before := s.ours()
		s.sync(t, to)
		if after := s.ours(); after != before {
			t.Fatalf("step %d: a sync without a reason wrote:\n%s", i, cmp.Diff(before, after))
		}
	}
}

func withoutMembers(list string) []string {
	return slices.DeleteFunc(sorted(list), func(part string) bool {
		return strings.HasPrefix(part, "\tset members") || strings.HasPrefix(part, "\tset ports")
	})
}

// sorted orders the parts of a listing, which come in the order of their making.
func sorted(list string) []string {
	parts := strings.Split(strings.TrimSuffix(list, "\n}"), "\n\n")
	slices.Sort(parts)
	return parts
}
