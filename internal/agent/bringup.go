package agent

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// bringUp is the order of a start: read the kernel, learn what the node should
// hold (from the store, else from the local copy), program it, originate it,
// and only then speak to peers. A first End-of-RIB is truthful that way, and
// peers that helped through the restart lose nothing.
func (a *Agent) bringUp(ctx context.Context) error {
	if a.opts.Table != nil && !wait(ctx, a.opts.Table.Ready()) {
		return nil
	}
	if !a.awaitNews(ctx) {
		return nil
	}
	if err := a.startSpeaker(ctx); err != nil {
		return err
	}
	if a.workloads != nil {
		a.workloads.adopt()
	}
	close(a.known)
	if a.workloads != nil && !wait(ctx, a.workloads.tried) {
		return nil
	}
	close(a.serving)
	a.opts.Health.Set(conditionStarted, true, "")
	if !wait(ctx, a.view.Synced()) {
		return nil
	}
	a.opts.Health.Set(conditionSynced, true, "")
	return nil
}

// awaitNews returns once there is something to start with: all of the store,
// our own Node in it as we have just written it, and a name that is ours; or,
// after some patience, all of a store that takes no changes, such as a full
// one, the local copy, or a configuration file that says enough to speak BGP:
// etcd itself may be behind a route that only BGP brings.
func (a *Agent) awaitNews(ctx context.Context) bool {
	a.opts.Health.Set(conditionSynced, false, "waiting for the store")
	patience := time.NewTimer(a.opts.Patience)
	defer patience.Stop()
	registered := make(chan struct{})
	go func() {
		defer close(registered)
		_ = wait(ctx, a.node.claimed) && a.view.Await(ctx, a.node.written) && wait(ctx, a.view.Synced()) &&
			(a.blocks == nil || wait(ctx, a.blocks.Synced()))
	}()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-registered:
			return ctx.Err() == nil
		case <-patience.C:
			if a.node.Taken() { // starting would take that host's routes
				patience.Reset(a.opts.Patience)
				continue
			}
			if a.node.Free() && a.view.IsSynced() {
				a.log.Warn("store takes no changes: starting with what it has told")
				return true
			}
			if a.opts.Copy.GUID != "" {
				age := time.Since(a.opts.Copy.SavedAt).Round(time.Second)
				a.opts.Health.Set(conditionSynced, false,
					fmt.Sprintf("working from the local copy of %s ago: nothing is removed", age))
				a.log.Warn("store is away: starting from the local copy", "age", age, "revision", a.opts.Copy.Revision)
				return true
			}
			if len(a.opts.BGP.Peers) > 0 {
				a.log.Warn("store is away: speaking to the peers of the configuration file only")
				return true
			}
			a.log.Warn("waiting for the store: there is no local copy to start from")
			patience.Reset(a.opts.Patience)
		}
	}
}

// routerIDOf is the BGP identifier that we go by: an address that came after BGP
// was started is for the next start.
func (a *Agent) routerIDOf(own *resource.Node) netip.Addr {
	if id := a.routerID.Load(); id != nil {
		return *id
	}
	return bgp.RouterID(own.Name, own.IPv4)
}

// startSpeaker starts BGP with the settings that hold for its whole life.
func (a *Agent) startSpeaker(ctx context.Context) error {
	f := a.sessions.fabric()
	own := f.Node(a.opts.Identity.Name)
	if own == nil {
		return fmt.Errorf("node %q has neither an IPv4 nor an IPv6 address: state node.ipv4Address", a.opts.Identity.Name)
	}
	settings := a.opts.BGP.Settings
	settings.ASN = asNumber(f, own)
	settings.RouterID = bgp.RouterID(own.Name, own.IPv4)
	a.routerID.Store(&settings.RouterID)
	if port := listenPort(f, own.Name); port != 0 {
		settings.ListenPort = port
	}
	// A reflector forwards nothing, so what it told goes on working without it,
	// and nothing tells its first start from a return. As a return it has nobody
	// drop what others told before they could tell it again (RFC 4724 §4.1).
	settings.Restarting = map[bgp.Family]bool{bgp.IPv4Unicast: true, bgp.IPv6Unicast: true}
	if a.opts.Table != nil {
		adopted := a.opts.Table.Adopted()
		settings.Restarting = map[bgp.Family]bool{
			bgp.IPv4Unicast: adopted[fib.BGP][fib.IPv4] || adopted[fib.Workload][fib.IPv4] || adopted[fib.Blackhole][fib.IPv4],
			bgp.IPv6Unicast: adopted[fib.BGP][fib.IPv6] || adopted[fib.Workload][fib.IPv6] || adopted[fib.Blackhole][fib.IPv6],
		}
	}
	a.log.Info("starting BGP", "asn", settings.ASN, "router_id", settings.RouterID,
		"restarting_ipv4", settings.Restarting[bgp.IPv4Unicast], "restarting_ipv6", settings.Restarting[bgp.IPv6Unicast])
	if err := a.opts.Speaker.Start(ctx, settings); err != nil {
		return fmt.Errorf("start BGP: %w", err)
	}
	a.sessions.pools()
	return nil
}
