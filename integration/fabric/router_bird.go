package fabric

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
)

type birdRouter struct {
	*lab.BIRD
	host *lab.Host
	spec RouterSpec
}

func newBIRDRouter(_ lab.T, h *lab.Host, spec RouterSpec) Router {
	r := &birdRouter{host: h, spec: spec}
	r.BIRD = h.BIRD(r.config())
	r.Returning = true // whenever it starts again
	return r
}

func (r *birdRouter) Name() string { return "bird" }

func (r *birdRouter) Tell(own ...Own) {
	r.spec.Own = own
	r.Configure(r.config())
}

// config has no kernel protocol; the direct one is there for next hops to be
// reachable.
func (r *birdRouter) config() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("log stderr { warning, error, fatal, bug };\nrouter id %s;\nprotocol device { scan time 2; }", r.spec.ID)
	line("protocol direct { ipv4; ipv6; }")
	for _, family := range []string{"ipv4", "ipv6"} {
		line("protocol static own_%s { %s;", family, family)
		for _, o := range r.spec.Own {
			if familyOf(o.Prefix.Addr()) == family {
				line("  route %s blackhole { bgp_local_pref = %d; bgp_community.add((%s)); };",
					o.Prefix, o.LocalPref, strings.Replace(o.Community, ":", ",", 1))
			}
		}
		line("}")
	}
	for i, n := range r.spec.Peers {
		r.neighbour(line, i, n)
	}
	return b.String()
}

func (r *birdRouter) neighbour(line func(string, ...any), number int, n Neighbour) {
	line("protocol bgp p%d {\n  local %s as %d; neighbor %s as %d; direct; strict bind on;", number+1, n.Local, r.spec.AS, n.Peer, n.AS)
	line("  connect retry time 1; connect delay time 1; error wait time 1, 2;")
	if r.spec.ClusterID.IsValid() {
		line("  rr cluster id %s;", r.spec.ClusterID)
	}
	if n.Client {
		line("  rr client;")
	}
	if n.Restart > 0 {
		line("  graceful restart on; graceful restart time %.0f;", n.Restart.Seconds())
	}
	if n.LongLived > 0 {
		line("  long lived graceful restart on; long lived stale time %.0f;", n.LongLived.Seconds())
	}
	if n.Password != "" {
		line("  password %q;", n.Password)
	}
	if n.TTLSecurity {
		line("  ttl security on;")
	}
	export, addPath := "export where source = RTS_STATIC; next hop self;", ""
	if r.spec.ClusterID.IsValid() {
		export = "export where source ~ [RTS_STATIC, RTS_BGP]; next hop keep;"
	}
	if n.AddPath {
		addPath = "add paths on;"
	}
	for _, f := range n.families() {
		line("  %s { import all; %s %s };", f, export, addPath)
	}
	line("}")
}

// The parts of "show route all" that a Route is made of. A path without prefix
// is another one of the prefix before.
var (
	birdRouteHead = regexp.MustCompile(`^(\S*)\s+\S+ \[.*\] (?:\* )?\((\d+)(s?)`)
	birdAttribute = regexp.MustCompile(`^\tBGP\.(\w+): ?(.*)$`)
)

func (r *birdRouter) Paths(ctx context.Context) (string, error) {
	var routes []Route
	for _, table := range []string{"master4", "master6"} {
		out, err := r.Birdc(ctx, "show route table "+table+" all where source = RTS_BGP")
		if err != nil {
			return "", err
		}
		routes = append(routes, birdRoutes(out)...)
	}
	return RouteTable(routes), nil
}

func birdRoutes(out string) []Route {
	var routes []Route
	prefix := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if m := birdRouteHead.FindStringSubmatch(line); m != nil {
			if m[1] != "" {
				prefix = m[1]
			}
			routes = append(routes, Route{Prefix: prefix, Stale: m[3] != ""})
			continue
		}
		m := birdAttribute.FindStringSubmatch(line)
		if m == nil || len(routes) == 0 {
			continue
		}
		last := &routes[len(routes)-1]
		switch m[1] {
		case "next_hop":
			last.NextHop, _, _ = strings.Cut(m[2], " ")
		case "local_pref":
			n, _ := strconv.ParseUint(m[2], 10, 32) // as BIRD prints a number
			last.LocalPref = uint32(n)
		case "originator_id":
			last.Originator = m[2]
		case "cluster_list":
			last.Clusters = strings.Fields(m[2])
		case "community":
			for _, c := range strings.Fields(m[2]) {
				last.Communities = append(last.Communities, strings.Replace(strings.Trim(c, "()"), ",", ":", 1))
			}
			// BIRD marks as stale what came so, too.
			last.Stale = last.Stale && !slices.Contains(last.Communities, LongLivedStale)
		}
	}
	return routes
}
