package agent

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/view"
	"github.com/projectvrouter/vrouter/reflector"
)

// OriginChecker is a speaker that asks who may announce what.
type OriginChecker interface {
	// CheckOrigins has all paths judged, those that are known and those to come.
	CheckOrigins(*reflector.Origins)
	// OriginsChanged has paths to these prefixes judged again; none: all.
	OriginsChanged(...netip.Prefix)
}

const (
	// lookPause is how often sessions, leases and the store are looked at, whose
	// states are what the check, and the report, depend on.
	lookPause = time.Second
	// logPause is the least time between two lines about one kind of refusal.
	logPause = 10 * time.Second
)

// reflection is the edge store and sessions → what a reflector lets pass, and
// what it reports. On a host that does not reflect it does nothing.
type reflection struct {
	node     string
	origin   resource.OriginCheck // of the configuration file, where no group says another
	view     *view.View
	owners   *view.Owners
	blocks   *blockOwners
	feed     *feed
	sessions *sessions
	speaker  bgp.Speaker
	checker  OriginChecker // nil: origins are not checked
	alive    *alive
	origins  *reflector.Origins
	reports  *reports
	log      hclog.Logger

	mu   sync.Mutex // guards the rest
	mode resource.OriginCheck
}

// ownersOf is reflector.Owners on the view's and on those of blocks.
type ownersOf struct {
	endpoints *view.Owners
	blocks    *view.BlockOwners
}

// Owner is the node that a prefix is on: that of an endpoint with the address,
// or whose block it is. Hosts announce nothing else.
func (o ownersOf) Owner(p netip.Prefix) (string, bool) {
	if p.IsSingleIP() {
		return o.endpoints.Of(p.Addr())
	}
	return o.blocks.Of(p)
}

// Run follows until ctx ends, from the time that the speaker runs.
func (r *reflection) Run(ctx context.Context, start <-chan struct{}) error {
	if !wait(ctx, start) {
		return nil
	}
	ticker := time.NewTicker(lookPause)
	defer ticker.Stop()
	var f view.Fabric
	var grouping *bgp.Grouping
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.owners.Changed():
			r.moved()
			continue
		case <-r.blocks.owners.Changed():
			r.moved()
			continue
		case <-r.sessions.moved:
			f = r.sessions.fabric()
			grouping = bgp.NewGrouping(f.ReflectorGroups, f.Memberships, f.Nodes)
		case <-ticker.C:
		}
		if grouping != nil {
			peers := r.speaker.Peers()
			r.check(f, grouping, peers)
			r.reports.set(served(r.node, grouping, peers))
		}
	}
}

// moved has the paths judged again whose owners have changed.
func (r *reflection) moved() {
	addresses, all := r.owners.Drain()
	prefixes := r.blocks.owners.Drain()
	for _, a := range addresses {
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	switch {
	case r.checker == nil || r.Mode() == resource.OriginCheckOff || !r.view.IsSynced():
	case all:
		r.checker.OriginsChanged()
	case len(prefixes) > 0:
		r.checker.OriginsChanged(prefixes...)
	}
}

// check states what origins are judged by.
func (r *reflection) check(f view.Fabric, grouping *bgp.Grouping, peers []bgp.PeerState) {
	if r.checker == nil {
		return
	}
	mode := r.modeOf(f, grouping)
	r.mu.Lock()
	was := r.mode
	r.mode = mode
	r.mu.Unlock()
	if mode == resource.OriginCheckOff {
		if was == resource.OriginCheckLog || was == resource.OriginCheckEnforce {
			r.origins.Set(reflector.State{Mode: mode})
			r.checker.CheckOrigins(nil)
			r.log.Info("origins are not checked any longer")
		}
		return
	}
	r.alive.follow()
	r.blocks.follow()
	_, answers := r.feed.Lag()
	s := reflector.State{
		Mode: mode, Trusted: answers && r.view.IsSynced() && r.blocks.owners.Synced(), Heard: r.feed.Answered(),
		Pools: bgp.NewPools(poolsOf(f)), Nodes: f.Nodes,
		Reflectors: make(map[string]bool), Down: r.down(peers),
	}
	for _, n := range f.Nodes {
		if grouping.ClusterID(n).IsValid() {
			s.Reflectors[n.Name] = true
		}
	}
	again := r.origins.Set(s)
	switch {
	case was != resource.OriginCheckLog && was != resource.OriginCheckEnforce:
		r.log.Info("origins are checked", "mode", mode)
		r.checker.CheckOrigins(r.origins)
	case again:
		r.checker.OriginsChanged()
	}
}

// modeOf is how this node checks: off unless it reflects, then the strictest of
// its groups, or what the configuration file says.
func (r *reflection) modeOf(f view.Fabric, grouping *bgp.Grouping) resource.OriginCheck {
	own := f.Node(r.node)
	if own == nil || !grouping.ClusterID(own).IsValid() {
		return resource.OriginCheckOff
	}
	rank := map[resource.OriginCheck]int{resource.OriginCheckOff: 1, resource.OriginCheckLog: 2, resource.OriginCheckEnforce: 3}
	mode := resource.OriginCheck("")
	for _, g := range f.ReflectorGroups {
		for _, in := range grouping.GroupsOf(r.node) {
			if g.Name == in && rank[g.OriginCheck] > rank[mode] {
				mode = g.OriginCheck
			}
		}
	}
	switch {
	case mode != "":
		return mode
	case r.origin != "":
		return r.origin
	}
	return resource.OriginCheckOff
}

// down is the hosts without a lease whose sessions with us are down, all of
// them. A host that has none with us is for others to judge.
func (r *reflection) down(peers []bgp.PeerState) map[string]bool {
	up := make(map[string]bool)
	for _, p := range peers {
		if node := p.Session.PeerNode; node != "" {
			up[node] = up[node] || p.State == bgp.Established
		}
	}
	down := make(map[string]bool)
	for node, is := range up {
		if !is && r.alive.dead(node) {
			down[node] = true
		}
	}
	return down
}

// Mode is how origins are checked.
func (r *reflection) Mode() resource.OriginCheck {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mode
}

// Log writes what was refused, one line for each reason and logPause at most.
func (r *reflection) Log(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.origins.News():
		}
		for _, report := range r.origins.Reports() {
			message := "paths refused for their origin"
			if report.Only {
				message = "paths would be refused for their origin"
			}
			r.log.Warn(message, "error", report.Reason, "paths", report.Paths, "prefix", report.Prefix,
				"peer", report.Peer, "node", report.From, "owner", report.Owner)
		}
		timer := time.NewTimer(logPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
