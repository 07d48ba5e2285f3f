package fabric

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
)

type frrRouter struct {
	*lab.FRR
	t    lab.T
	host *lab.Host
	spec RouterSpec
}

func newFRRRouter(t lab.T, h *lab.Host, spec RouterSpec) Router {
	t.Helper()
	r := &frrRouter{t: t, host: h, spec: spec}
	r.FRR = StartFRR(t, h, r.config())
	return r
}

func (r *frrRouter) Name() string { return "frr" }

func (r *frrRouter) Tell(own ...Own) {
	r.t.Helper()
	gone, come := difference(r.spec.Own, own)
	r.spec.Own = own
	lines := []string{"configure"}
	for _, o := range come {
		lines = append(lines, strings.Split(routeMap(o), "\n")...)
	}
	lines = append(lines, fmt.Sprintf("router bgp %d", r.spec.AS))
	for _, o := range gone {
		lines = append(lines, "address-family "+familyOf(o.Prefix.Addr())+" unicast", "no network "+o.Prefix.String(), "exit-address-family")
	}
	for _, o := range come {
		lines = append(lines, "address-family "+familyOf(o.Prefix.Addr())+" unicast",
			"network "+o.Prefix.String()+" route-map "+mapName(o), "exit-address-family")
	}
	if out, err := r.Vtysh(r.t.Context(), lines...); err != nil {
		r.t.Fatalf("host %s: change the routes of FRR: %v\n%s", r.host.Name(), err, out)
	}
	r.host.Lab().File(filepath.Join(r.host.Name(), "frr", "frr.conf"), frrDefaults+r.config()) // for the next start
}

func mapName(o Own) string {
	return "OWN-" + strings.NewReplacer(":", "-").Replace(o.Community) + fmt.Sprintf("-%d", o.LocalPref)
}

func routeMap(o Own) string {
	return fmt.Sprintf("route-map %s permit 10\nset community %s\nset local-preference %d\nexit", mapName(o), o.Community, o.LocalPref)
}

func (r *frrRouter) config() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, o := range r.spec.Own {
		line("%s", routeMap(o))
	}
	line("router bgp %d\n bgp router-id %s\n no bgp default ipv4-unicast\n no bgp network import-check", r.spec.AS, r.spec.ID)
	line(" no bgp ebgp-requires-policy")
	if r.spec.ClusterID.IsValid() {
		line(" bgp cluster-id %s", r.spec.ClusterID)
	}
	for _, n := range r.spec.Peers {
		if n.Restart > 0 {
			line(" bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time %.0f", n.Restart.Seconds())
			line(" bgp graceful-restart stalepath-time %.0f", n.Restart.Seconds())
			if n.LongLived > 0 {
				line(" bgp long-lived-graceful-restart stale-time %.0f", n.LongLived.Seconds())
			}
			break
		}
	}
	for _, n := range r.spec.Peers {
		r.neighbour(line, n)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		line(" address-family %s unicast", family)
		for _, o := range r.spec.Own {
			if familyOf(o.Prefix.Addr()) == family {
				line("  network %s route-map %s", o.Prefix, mapName(o))
			}
		}
		line("  maximum-paths ibgp 16\n exit-address-family")
	}
	return b.String()
}

func (r *frrRouter) neighbour(line func(string, ...any), n Neighbour) {
	line(" neighbor %s remote-as %d\n neighbor %s update-source %s\n neighbor %s timers connect 1", n.Peer, n.AS, n.Peer, n.Local, n.Peer)
	if n.Password != "" {
		line(" neighbor %s password %s", n.Peer, n.Password)
	}
	if n.TTLSecurity {
		line(" neighbor %s ttl-security hops 1", n.Peer)
	}
	for _, f := range n.families() {
		line(" address-family %s unicast\n  neighbor %s activate\n  neighbor %s soft-reconfiguration inbound", f, n.Peer, n.Peer)
		if n.Client {
			line("  neighbor %s route-reflector-client", n.Peer)
		}
		if n.AddPath {
			line("  neighbor %s addpath-tx-all-paths", n.Peer)
		}
		line(" exit-address-family")
	}
}

// frrPath is a path in FRR's words.
type frrPath struct {
	OriginatorID string
	ClusterList  struct{ List []string }
	Community    struct{ List []string }
	LocPrf       *uint32
	Stale        bool
	Sourced      bool
	Nexthops     []struct{ IP, Scope string }
}

// Paths asks for each prefix by itself: FRR 8 tells all of a path no other way.
func (r *frrRouter) Paths(ctx context.Context) (string, error) {
	var routes []Route
	for _, family := range []string{"ipv4", "ipv6"} {
		var table struct{ Routes map[string]any }
		show := "show bgp " + family + " unicast"
		if err := r.VtyshJSON(ctx, &table, show); err != nil {
			return "", err
		}
		var commands []string
		for prefix := range table.Routes {
			commands = append(commands, show+" "+prefix+" json")
		}
		if len(commands) == 0 {
			continue
		}
		out, err := r.Vtysh(ctx, commands...)
		if err != nil {
			return "", err
		}
		for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
			var rib struct {
				Prefix string
				Paths  []frrPath
			}
			if err := d.Decode(&rib); err != nil {
				return "", fmt.Errorf("FRR's %s table: %w: %s", family, err, out)
			}
			for _, p := range rib.Paths {
				if !p.Sourced {
					routes = append(routes, p.route(rib.Prefix))
				}
			}
		}
	}
	return RouteTable(routes), nil
}

// frrCommunities are those that FRR has names for.
var frrCommunities = map[string]string{"llgr-stale": LongLivedStale, "llgrStale": LongLivedStale}

func (p frrPath) route(prefix string) Route {
	r := Route{Prefix: prefix, Originator: p.OriginatorID, Clusters: p.ClusterList.List, Stale: p.Stale}
	for _, c := range p.Community.List {
		r.Communities = append(r.Communities, cmp.Or(frrCommunities[c], c))
	}
	if p.LocPrf != nil {
		r.LocalPref = *p.LocPrf
	}
	for _, n := range p.Nexthops {
		if n.Scope != "link-local" { // beside the global one (RFC 2545 §3)
			r.NextHop = n.IP
		}
	}
	return r
}
