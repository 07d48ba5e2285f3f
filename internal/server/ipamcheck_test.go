package server

import (
	"slices"
	"strings"
	"testing"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func workloadRoute(address string) *vrouterv1.Route {
	return &vrouterv1.Route{Prefix: address + "/32", Source: "workload", Programmed: true}
}

// checkKernels asks for a check of the kernels, and returns what it found and what it
// says of the nodes.
func (r *rig) checkKernels() (found, nodes []string, m *vrouterv1.CheckResponse) {
	r.t.Helper()
	m, err := r.addresses.Check(r.t.Context(), &vrouterv1.CheckRequest{Kernel: true})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range m.Problems {
		found = append(found, p.Kind+" "+p.Subject)
	}
	for _, n := range m.Nodes {
		state := "unchecked"
		if n.Checked {
			state = "checked"
		} else if n.Reason == "" {
			r.t.Errorf("%s is not checked, and nobody says why", n.Node)
		}
		nodes = append(nodes, n.Node+" "+state)
	}
	return found, nodes, m
}

// TestCheckOfKernels: routes of nodes that can be asked are compared with what
// is allocated; of others nothing is concluded.
func TestCheckOfKernels(t *testing.T) {
	ca := newCA(t, "ca")
	r := newRig(t, func(o *Options) { o.TCP = ca.tcp(t, "host1") })
	second := &fakeLocal{node: "host2"}
	other := start(t, Options{Store: r.store, Local: second, NodeName: "host2", Logger: r.api.opts.Logger, TCP: ca.tcp(t, "host2")})
	r.publish("host2", other.TCPAddr().String())
	for node, address := range map[string]string{"host1": "10.0.0.1", "host2": "10.0.1.1", "away": "10.0.2.1"} {
		in := registration(node, address)
		in.Node = node
		r.register(in)
	}
	r.local.kernel = []*vrouterv1.Route{workloadRoute("10.0.0.1"), {Prefix: "10.0.9.0/26", Source: "blackhole", Programmed: true}}
	second.kernel = []*vrouterv1.Route{workloadRoute("10.0.1.1")}
	found, nodes, m := r.checkKernels()
	if len(found) > 0 || !slices.Equal(nodes, []string{"away unchecked", "host1 checked", "host2 checked"}) {
		t.Errorf("found %v, nodes %v", found, nodes)
	}
	if r.local.looks != 1 || m.Nodes[1].Routes != 1 {
		t.Errorf("%d looks, %+v", r.local.looks, m.Nodes)
	}

	second.kernel = []*vrouterv1.Route{workloadRoute("10.0.0.1"), workloadRoute("10.0.1.9"),
		{Prefix: "10.0.1.1/32", Source: "workload", Problem: "interface vr1 does not exist"}}
	found, _, m = r.checkKernels()
	if want := []string{"route-elsewhere host2 10.0.0.1", "route-not-allocated host2 10.0.1.9", "no-route host2 10.0.1.1"}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if len(m.Leaks) > 0 || !strings.Contains(m.Problems[2].Detail, "interface vr1 does not exist") {
		t.Errorf("%v", m)
	}
}

// TestCheckBesideChanges: what is wrong only while it changes is no fault.
func TestCheckBesideChanges(t *testing.T) {
	r := newRig(t)
	r.register(registration("one", "10.0.0.1"))
	r.local.change = func() { r.local.kernel = []*vrouterv1.Route{workloadRoute("10.0.0.1")} }
	if found, nodes, _ := r.checkKernels(); len(found) > 0 || !slices.Equal(nodes, []string{"host1 checked"}) || r.local.looks != 2 {
		t.Errorf("found %v, nodes %v, %d looks", found, nodes, r.local.looks)
	}
}

func TestRoutesOfASource(t *testing.T) {
	r := newRig(t)
	r.local.kernel = []*vrouterv1.Route{workloadRoute("10.0.0.1"), {Prefix: "10.0.9.0/26", Source: "blackhole"}, workloadRoute("10.1.0.1")}
	for _, test := range []struct {
		in   *vrouterv1.ListRoutesRequest
		want string
	}{
		{&vrouterv1.ListRoutesRequest{Source: "workload"}, "10.0.0.1/32@workload 10.1.0.1/32@workload"},
		{&vrouterv1.ListRoutesRequest{Source: "workload", Prefix: "10.1.0.0/16"}, "10.1.0.1/32@workload"},
		{&vrouterv1.ListRoutesRequest{Source: "blackhole"}, "10.0.9.0/26@blackhole"},
	} {
		if got, err := r.routes(test.in); err != nil || got != test.want {
			t.Errorf("%v: %s, %v", test.in, got, err)
		}
	}
	_, err := r.routes(&vrouterv1.ListRoutesRequest{Source: "static"})
	wantPaths(t, err, "source")
	_, err = r.routes(&vrouterv1.ListRoutesRequest{Source: "bgp", Filter: &vrouterv1.RouteFilter{Best: true}})
	wantPaths(t, err, "source")
}
