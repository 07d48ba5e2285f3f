package server

import (
	"bytes"
	"errors"
	"io"
	"testing"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// TestObserve: what shows the speaker of a node works for the node that takes
// the call, and for another.
func TestObserve(t *testing.T) {
	ca := newCA(t, "ca")
	r := newRig(t, func(o *Options) { o.TCP = ca.tcp(t, "host1") })
	other := start(t, Options{Store: r.store, Local: &fakeLocal{node: "host2"}, NodeName: "host2",
		Logger: r.api.opts.Logger, TCP: ca.tcp(t, "host2")})
	r.publish("host2", other.TCPAddr().String())
	for _, node := range []string{"host1", "host2"} {
		reflector, err := r.nodes.GetReflector(t.Context(), &vrouterv1.GetReflectorRequest{Node: node})
		if err != nil || reflector.Node != node {
			t.Errorf("reflector %s: %v, %v", node, reflector, err)
		}
		filter := &vrouterv1.RouteFilter{Prefix: "10.0.0.7/24", Best: true}
		got, err := r.routes(&vrouterv1.ListRoutesRequest{Node: node, Filter: filter})
		if err != nil || got != "10.0.0.0/24@"+node {
			t.Errorf("routes of %s: %s, %v", node, got, err)
		}
		peers, err := r.nodes.WatchPeers(t.Context(), &vrouterv1.WatchPeersRequest{Node: node})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := peers.Recv(); err != nil || m.GetPut().GetName() != node {
			t.Errorf("peers of %s: %v, %v", node, m, err)
		}
		routes, err := r.nodes.WatchRoutes(t.Context(), &vrouterv1.WatchRoutesRequest{Node: node, Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := routes.Recv(); err != nil || m.GetPut().GetPrefix() != "10.0.0.0/24" || m.GetPut().GetSource() != node {
			t.Errorf("watched routes of %s: %v, %v", node, m, err)
		}
		if dump, err := r.dump(node); err != nil || !bytes.Equal(dump, bytes.Repeat([]byte(node), 100*1000)) {
			t.Errorf("dump of %s: %d octets, %v", node, len(dump), err)
		}
	}
}

func (r *rig) dump(node string) ([]byte, error) {
	stream, err := r.nodes.DumpRoutes(r.t.Context(), &vrouterv1.DumpRoutesRequest{Node: node})
	if err != nil {
		return nil, err
	}
	var all []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m.GetData()...)
	}
}

func TestBadRouteFilter(t *testing.T) {
	r := newRig(t)
	for path, req := range map[string]*vrouterv1.ListRoutesRequest{
		"filter.prefix":  {Filter: &vrouterv1.RouteFilter{Prefix: "10.0.0.0/33"}},
		"filter.family":  {Filter: &vrouterv1.RouteFilter{Family: "IPX"}},
		"filter.refused": {Filter: &vrouterv1.RouteFilter{Best: true, Refused: true}},
		"filter.peer":    {Filter: &vrouterv1.RouteFilter{Peer: "nobody"}},
		"prefix":         {Prefix: "10.0.0.0/8", Filter: &vrouterv1.RouteFilter{}},
	} {
		_, err := r.routes(req)
		wantPaths(t, err, path)
	}
}
