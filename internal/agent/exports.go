package agent

import (
	"net/netip"
	"sync"

	"github.com/projectvrouter/vrouter/bgp"
)

// exports says which of our prefixes may be told to peers, as the pools have
// it: the edge that knows the pools sets it, the edge that originates asks.
type exports struct {
	changed chan struct{} // signalled when refusal may answer otherwise

	mu     sync.Mutex // guards policy
	policy bgp.ExportPolicy
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

// refusal is why a prefix of ours is not told to peers; empty: it is.
func (e *exports) refusal(p netip.Prefix) bgp.Refusal {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.policy.Own(p)
}
