package agent

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/view"
)

// exports says which of our prefixes may be told to peers, as the pools have
// it, and with which communities: the edge that knows the settings sets it, the
// edge that originates asks, and sets what must not be older than its endpoints.
type exports struct {
	changed chan struct{} // signalled when there may be other answers

	mu          sync.Mutex // guards the rest
	policy      bgp.ExportPolicy
	modes       map[netip.Prefix]resource.Advertise // of pools that are not of the default
	turn        int                                 // counts their changes
	communities []resource.PrefixCommunities
}

func newExports() *exports { return &exports{changed: make(chan struct{}, 1)} }

func (e *exports) set(pools []bgp.Pool) {
	policy := bgp.ExportPolicy{Pools: bgp.NewPools(pools)}
	e.mu.Lock()
	defer e.mu.Unlock()
	if policy.Pools.Equal(e.policy.Pools) {
		return
	}
	e.policy = policy
	signal(e.changed)
}

// setModes states what is to be told of each pool: blocks, addresses, or both.
// Two edges have it done, each when it hears of what hangs on it, so the pools
// are asked for under the lock: what is stated last is never the older.
func (e *exports) setModes(pools func() []*resource.IPPool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	modes := make(map[netip.Prefix]resource.Advertise)
	for _, p := range pools() {
		if p.Advertise != resource.AdvertiseEndpoints {
			modes[p.CIDR] = p.Advertise
		}
	}
	if maps.Equal(modes, e.modes) {
		return
	}
	e.modes = modes
	e.turn++
	signal(e.changed)
}

// modesTurn is another number once what is to be told of pools has changed.
func (e *exports) modesTurn() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.turn
}

// advertised is what is told of a block or an address: of its pool, of which
// there is one at most.
func (e *exports) advertised(p netip.Prefix) resource.Advertise {
	e.mu.Lock()
	defer e.mu.Unlock()
	for pool, mode := range e.modes {
		if pool.Bits() <= p.Bits() && pool.Contains(p.Addr()) {
			return mode
		}
	}
	return resource.AdvertiseEndpoints
}

// refusal is why a prefix of ours is not told to peers; empty: it is.
func (e *exports) refusal(p netip.Prefix) bgp.Refusal {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.policy.Own(p)
}

func (e *exports) setCommunities(list []resource.PrefixCommunities) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if reflect.DeepEqual(list, e.communities) {
		return
	}
	e.communities = list
	signal(e.changed)
}

// attributes is what a prefix of ours is told with: the communities of every
// prefix that holds it, each once.
func (e *exports) attributes(p netip.Prefix) bgp.Attributes {
	e.mu.Lock()
	defer e.mu.Unlock()
	var a bgp.Attributes
	for _, c := range e.communities {
		if c.Prefix.Bits() > p.Bits() || !c.Prefix.Contains(p.Addr()) {
			continue
		}
		for _, value := range c.Standard {
			a.Communities = append(a.Communities, bgp.Community(value))
		}
		for _, v := range c.Large {
			a.LargeCommunities = append(a.LargeCommunities, bgp.LargeCommunity{Global: v[0], Local1: v[1], Local2: v[2]})
		}
	}
	slices.Sort(a.Communities)
	a.Communities = slices.Compact(a.Communities)
	slices.SortFunc(a.LargeCommunities, bgp.LargeCommunity.Compare)
	a.LargeCommunities = slices.Compact(a.LargeCommunities)
	return a
}

// communities is the prefixes with communities of a node: its own list takes
// the place of the cluster's, as in Calico.
func communities(f view.Fabric, node string) []resource.PrefixCommunities {
	own, cluster := configurations(f, node)
	if len(own.Communities) > 0 {
		return own.Communities
	}
	return cluster.Communities
}
