package agent

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/projectvrouter/vrouter/bgp"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// heard notes the events of a stream as text.
type heard struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (h *heard) add(format string, args ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
	return nil
}

// take is what was heard since the last take.
func (h *heard) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	lines := h.lines
	h.lines = nil
	return strings.Join(lines, "\n")
}

func (h *heard) peer(m *vrouterv1.WatchPeersResponse) error {
	switch e := m.GetEvent().(type) {
	case *vrouterv1.WatchPeersResponse_Put:
		return h.add("%s %s %d", e.Put.GetName(), e.Put.GetState(), e.Put.GetPrefixesReceived())
	case *vrouterv1.WatchPeersResponse_Delete:
		return h.add("%s is gone", e.Delete)
	}
	return h.add("synced")
}

func (h *heard) route(m *vrouterv1.WatchRoutesResponse) error {
	switch e := m.GetEvent().(type) {
	case *vrouterv1.WatchRoutesResponse_Put:
		return h.add("%s", routeText(e.Put))
	case *vrouterv1.WatchRoutesResponse_Delete:
		return h.add("%s is gone", e.Delete)
	}
	return h.add("synced")
}

func routeText(r *vrouterv1.Route) string {
	text := r.GetPrefix()
	if r.GetOriginated() {
		text += fmt.Sprintf(" own %t", r.GetAdvertised())
	}
	for _, p := range r.GetPaths() {
		text += fmt.Sprintf(" %s best %t %s", p.GetPeer(), p.GetBest(), p.GetRefused())
	}
	return strings.TrimSpace(text)
}

// TestObserve: lists and watches of routes and peers say what the speaker
// knows, and go on saying it.
func TestObserve(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.node2()
		p := r.peer()
		p.originate("10.0.3.3/32")
		r.start()
		ctx, cancel := context.WithCancel(t.Context())
		var peers, routes, refused heard
		var done sync.WaitGroup
		watch := func(f func() error) {
			done.Go(func() {
				if err := f(); ctx.Err() == nil {
					t.Errorf("a watch ended: %v", err)
				}
			})
		}
		watch(func() error { return r.agent.WatchPeers(ctx, peers.peer) })
		watch(func() error { return r.agent.WatchRoutes(ctx, &vrouterv1.RouteFilter{}, routes.route) })
		watch(func() error { return r.agent.WatchRoutes(ctx, &vrouterv1.RouteFilter{Refused: true}, refused.route) })
		step := func(what string, wantPeers, wantRoutes, wantRefused string) {
			t.Helper()
			r.pass(2 * time.Second)
			got := []string{peers.take(), routes.take(), refused.take()}
			if diff := cmp.Diff([]string{wantPeers, wantRoutes, wantRefused}, got); diff != "" {
				t.Errorf("%s: -want +got:\n%s", what, diff)
			}
		}
		const name = "mesh/host2/ipv4"
		step("first", name+" Established 1\nsynced", "10.0.0.1/32 own true\n10.0.3.3/32 192.0.2.2 best true\nsynced", "synced")
		step("nothing", "", "", "")
		p.originate("10.0.3.4/32", "10.99.0.1/32")
		step("more", name+" Established 3",
			"10.0.3.4/32 192.0.2.2 best true\n10.99.0.1/32 192.0.2.2 best false outside the pools",
			"10.99.0.1/32 192.0.2.2 best false outside the pools")
		p.disconnect()
		step("peer is gone", name+" Active 0", "10.0.3.3/32 is gone\n10.0.3.4/32 is gone\n10.99.0.1/32 is gone", "10.99.0.1/32 is gone")
		cancel()
		done.Wait()
	})
}

func TestPathsByFilter(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.node2()
		r.peer().originate("10.0.3.3/32", "10.99.0.1/32")
		r.start()
		for _, c := range []struct {
			filter *vrouterv1.RouteFilter
			want   string
		}{
			{&vrouterv1.RouteFilter{}, "10.0.0.1/32 own true, 10.0.3.3/32 192.0.2.2 best true, 10.99.0.1/32 192.0.2.2 best false outside the pools"},
			{&vrouterv1.RouteFilter{Best: true}, "10.0.0.1/32 own true, 10.0.3.3/32 192.0.2.2 best true"},
			{&vrouterv1.RouteFilter{Refused: true}, "10.99.0.1/32 192.0.2.2 best false outside the pools"},
			{&vrouterv1.RouteFilter{Peer: "192.0.2.2", Best: true}, "10.0.3.3/32 192.0.2.2 best true"},
			{&vrouterv1.RouteFilter{Peer: "host2", Best: true}, "10.0.3.3/32 192.0.2.2 best true"},
			{&vrouterv1.RouteFilter{Peer: "mesh/host2/ipv4", Refused: true}, "10.99.0.1/32 192.0.2.2 best false outside the pools"},
			{&vrouterv1.RouteFilter{Prefix: "10.0.3.0/24"}, "10.0.3.3/32 192.0.2.2 best true"},
			{&vrouterv1.RouteFilter{Family: "IPv6"}, ""},
		} {
			var got []string
			err := r.agent.Paths(t.Context(), c.filter, func(routes []*vrouterv1.Route) error {
				for _, route := range routes {
					got = append(got, routeText(route))
				}
				return nil
			})
			if text := strings.Join(got, ", "); err != nil || text != c.want {
				t.Errorf("%v: %s, %v; want %s", c.filter, text, err, c.want)
			}
		}
		err := r.agent.Paths(t.Context(), &vrouterv1.RouteFilter{Peer: "nobody"}, nil)
		if err == nil || !strings.Contains(err.Error(), "filter.peer") {
			t.Errorf("a peer that there is not: %v", err)
		}
		m, err := r.agent.Reflector(t.Context())
		if err != nil || m.GetPeers() != 1 || m.GetEstablished() != 1 || m.GetTable().GetPaths() != 2 || m.GetRouterId() != "192.0.2.1" {
			t.Errorf("reflector: %v, %v", m, err)
		}
	})
}

// A message of a peer has all that is known of it but secrets.
func TestPeerMessage(t *testing.T) {
	m := peerMessage(bgp.PeerState{
		Session: bgp.Session{
			Name: "p", Password: "secret", AddPathSend: bgp.AllPaths, LongLived: time.Hour, TTLSecurity: 1,
			Policy: &bgp.Policy{Filters: []*bgp.Filter{{Name: "in"}}, Options: bgp.Options{MaxPrefix: bgp.MaxPrefix{Limit: 7}}},
		},
		Range:    pfx("192.0.2.0/24"),
		Families: []bgp.FamilyState{{Family: bgp.IPv6Unicast, Up: true, Received: 3}},
		Stats:    bgp.PeerStats{Refused: map[bgp.Refusal]int{bgp.OwnAS: 2}, In: bgp.Traffic{Updates: 5}},
	})
	text := m.String()
	if strings.Contains(text, "secret") || !m.GetOptions().GetPassword() {
		t.Errorf("password: %s", text)
	}
	if m.GetType() != "dynamic" {
		t.Errorf("type of a peer of a range: %s", m.GetType())
	}
	if m.GetOptions().GetFilters()[0] != "in" || m.GetOptions().GetMaxPrefixes() != 7 || m.GetOptions().GetAddPathSend() != -1 {
		t.Errorf("options: %v", m.GetOptions())
	}
	if f := m.GetFamilies()[0]; f.GetFamily() != "IPv6" || f.GetReceived() != 3 || !f.GetUp() {
		t.Errorf("families: %v", m.GetFamilies())
	}
	if s := m.GetStatistics(); s.GetRefused()[string(bgp.OwnAS)] != 2 || s.GetIn().GetUpdates() != 5 {
		t.Errorf("statistics: %v", s)
	}
}

func TestDumpOfANode(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		var got string
		r.start(func(o *Options) {
			o.Dump = func(_ io.Writer, node string, asn uint32, routerID netip.Addr) error {
				got = fmt.Sprintf("%s %d %s", node, asn, routerID)
				return nil
			}
		})
		if err := r.agent.Dump(t.Context(), io.Discard); err != nil || got != "host1 64512 192.0.2.1" {
			t.Errorf("dump: %s, %v", got, err)
		}
		r.agent.opts.Dump = nil
		if err := r.agent.Dump(t.Context(), io.Discard); err == nil {
			t.Error("dump of a node that cannot")
		}
	})
}
