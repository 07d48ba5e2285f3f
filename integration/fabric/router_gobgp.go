package fabric

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

type gobgpRouter struct {
	t       lab.T
	host    *lab.Host
	spec    RouterSpec
	process *lab.Process
	path    string
}

func newGoBGPRouter(t lab.T, h *lab.Host, spec RouterSpec) Router {
	t.Helper()
	r := &gobgpRouter{t: t, host: h, spec: spec}
	r.path = h.Lab().File(filepath.Join(h.Name(), "gobgpd.toml"), r.config())
	r.Start()
	return r
}

func (r *gobgpRouter) Name() string { return "gobgp" }

// Start starts gobgpd and adds its routes over its API: the file has no way to
// say them.
func (r *gobgpRouter) Start() {
	r.t.Helper()
	argv := []string{testenv.Program("gobgpd"), "-f", r.path, "-l", "info", "-p", "--api-hosts", "127.0.0.1:50051", "--pprof-disable"}
	for _, n := range r.spec.Peers {
		if n.Restart > 0 {
			argv = append(argv, "-r") // it restarts: so it says in its OPEN
			break
		}
	}
	r.process = r.host.Start("gobgpd", argv, lab.ProcessOptions{})
	// It answers before it has read the file, and takes no routes then.
	lab.Eventually(r.t, Limit, "GoBGP answers", func() error {
		out, err := r.command(r.t.Context(), "global")
		if err == nil && !slices.Contains(strings.Fields(out), fmt.Sprint(r.spec.AS)) {
			err = fmt.Errorf("it has no AS yet: %s", out)
		}
		return err
	})
	r.add(r.spec.Own)
}

func (r *gobgpRouter) Kill() { r.process.Kill() }

func (r *gobgpRouter) Tell(own ...Own) {
	r.t.Helper()
	gone, come := difference(r.spec.Own, own)
	for _, o := range gone {
		if out, err := r.command(r.t.Context(), "global", "rib", "del", "-a", familyOf(o.Prefix.Addr()), o.Prefix.String()); err != nil {
			r.t.Fatalf("host %s: withdraw %s: %v\n%s", r.host.Name(), o.Prefix, err, out)
		}
	}
	r.spec.Own = own
	r.add(come)
}

func (r *gobgpRouter) add(own []Own) {
	r.t.Helper()
	for _, o := range own {
		nextHop := ""
		for _, n := range r.spec.Peers {
			if n.Local.Is4() == o.Prefix.Addr().Is4() {
				nextHop = n.Local.String()
			}
		}
		out, err := r.command(r.t.Context(), "global", "rib", "add", "-a", familyOf(o.Prefix.Addr()), o.Prefix.String(),
			"origin", "igp", "nexthop", nextHop, "local-pref", fmt.Sprint(o.LocalPref), "community", o.Community)
		if err != nil {
			r.t.Fatalf("host %s: announce %s: %v\n%s", r.host.Name(), o.Prefix, err, out)
		}
	}
}

func (r *gobgpRouter) command(ctx context.Context, args ...string) (string, error) {
	out, err := r.host.Run(ctx, append([]string{testenv.Program("gobgp"), "-u", "127.0.0.1", "-p", "50051"}, args...)...)
	return string(out), err
}

func (r *gobgpRouter) config() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("[global.config]\nas = %d\nrouter-id = %q", r.spec.AS, r.spec.ID)
	for _, n := range r.spec.Peers {
		line("[[neighbors]]\n[neighbors.config]\nneighbor-address = %q\npeer-as = %d", n.Peer, n.AS)
		if n.Password != "" {
			line("auth-password = %q", n.Password)
		}
		line("[neighbors.transport.config]\nlocal-address = %q", n.Local)
		line("[neighbors.timers.config]\nconnect-retry = 1\nidle-hold-time-after-reset = 1")
		if n.TTLSecurity {
			line("[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255")
		}
		if r.spec.ClusterID.IsValid() && n.Client {
			line("[neighbors.route-reflector.config]\nroute-reflector-client = true\nroute-reflector-cluster-id = %q", r.spec.ClusterID)
		}
		if n.Restart > 0 {
			line("[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = %.0f\ndeferral-time = 5\nlong-lived-enabled = %t",
				n.Restart.Seconds(), n.LongLived > 0)
		}
		for _, f := range n.families() {
			line("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = %q", f+"-unicast")
			if n.AddPath {
				line("[neighbors.afi-safis.add-paths.config]\nreceive = true\nsend-max = 8")
			}
			if n.Restart > 0 {
				line("[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true")
			}
			if n.LongLived > 0 {
				line("[neighbors.afi-safis.long-lived-graceful-restart.config]\nenabled = true\nrestart-time = %.0f", n.LongLived.Seconds())
			}
		}
	}
	return b.String()
}

// gobgpPath is a path in GoBGP's words.
type gobgpPath struct {
	Attrs []struct {
		Type        int
		Value       json.RawMessage
		NextHop     string
		Communities []uint32
	}
	Stale      bool
	NeighborIP string `json:"neighbor-ip"`
}

func (r *gobgpRouter) Paths(ctx context.Context) (string, error) {
	var routes []Route
	for _, family := range []string{"ipv4", "ipv6"} {
		out, err := r.command(ctx, "global", "rib", "-a", family, "-j")
		if err != nil {
			return "", err
		}
		var rib map[string][]gobgpPath
		if err := json.Unmarshal([]byte(out), &rib); err != nil {
			return "", fmt.Errorf("GoBGP's %s table: %w: %s", family, err, out)
		}
		for prefix, paths := range rib {
			for _, p := range paths {
				if strings.HasPrefix(p.NeighborIP, "<") || p.NeighborIP == "" { // its own
					continue
				}
				route, err := p.route(prefix)
				if err != nil {
					return "", fmt.Errorf("GoBGP's %s: %w: %s", prefix, err, out)
				}
				routes = append(routes, route)
			}
		}
	}
	return RouteTable(routes), nil
}

func (p gobgpPath) route(prefix string) (Route, error) {
	const nextHop, localPref, community, originatorID, clusterList, mpReach = 3, 5, 8, 9, 10, 14
	r := Route{Prefix: prefix, Stale: p.Stale}
	var err error
	for _, a := range p.Attrs {
		switch a.Type {
		case nextHop, mpReach:
			r.NextHop = a.NextHop
		case localPref:
			err = json.Unmarshal(a.Value, &r.LocalPref)
		case community:
			for _, c := range a.Communities {
				r.Communities = append(r.Communities, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
			}
		case originatorID:
			err = json.Unmarshal(a.Value, &r.Originator)
		case clusterList:
			err = json.Unmarshal(a.Value, &r.Clusters)
		}
		if err != nil {
			return Route{}, err
		}
	}
	return r, nil
}
