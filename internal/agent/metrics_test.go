package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/projectvrouter/vrouter/fib"
)

// metrics is what the agent's collector tells, a line each, but for metrics of
// these names. A pedantic registry refuses what was not described.
func (r *rig) metrics(but ...string) []string {
	r.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(r.agent); err != nil {
		r.t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		if slices.Contains(but, f.GetName()) {
			continue
		}
		for _, m := range f.GetMetric() {
			line := strings.TrimPrefix(f.GetName(), "vrouter_")
			for _, l := range m.GetLabel() {
				line += fmt.Sprintf(" %s=%s", l.GetName(), l.GetValue())
			}
			lines = append(lines, fmt.Sprintf("%s %v", line, m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	return lines
}

func TestMetrics(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.put(endpointObject("b", "host1", "10.0.0.2/32")) // without an interface
		r.put(poolObject("bad", "none"))
		r.node2()
		r.peer().originate("10.0.3.3/32", "10.99.0.1/32")
		r.start()
		r.kernel.Interfere(fib.Change{Op: fib.Delete, Entry: fib.Entry{
			Prefix: pfx("10.0.0.1/32"), Table: fib.DefaultTable, Metric: fib.DefaultMetric, Protocol: fib.DefaultProtocol,
		}})
		r.pass(time.Minute)
		const peer = " address=192.0.2.2 family=ipv4 peer=mesh/host2/ipv4 "
		want := []string{
			"bgp_peer_end_of_rib" + peer + "1",
			"bgp_peer_established" + peer + "1",
			"bgp_peer_established_total" + peer + "1",
			"bgp_peer_prefixes_accepted" + peer + "1",
			"bgp_peer_prefixes_advertised" + peer + "1",
			"bgp_peer_prefixes_received" + peer + "2",
			"bgp_peer_prefixes_stale" + peer + "0",
			"bgp_table_paths 2",
			"bgp_table_routes 3",
			"endpoints 2",
			"endpoints_reached stage=advertised 1",
			"endpoints_reached stage=programmed 1",
			"fib_foreign_changes_total 1",
			"fib_next_hop_sets 1",
			"fib_routes_programmed source=bgp 1",
			"fib_routes_programmed source=blackhole 0",
			"fib_routes_programmed source=overlay 0",
			"fib_routes_programmed source=workload 1",
			"fib_routes_wanted source=bgp 1",
			"fib_routes_wanted source=blackhole 0",
			"fib_routes_wanted source=overlay 0",
			"fib_routes_wanted source=workload 2",
			"fib_writes_refused_total 0",
			"fib_writes_total 5", // route, group and its object, learned route, repair
			"store_objects_undecodable 1",
			"store_reachable 1",
			"store_revision " + fmt.Sprint(r.agent.view.Revision()),
			"store_revision_lag 0",
		}
		// What sessions and groups count is of the speaker, and in TestSpeakerMetrics.
		counted := []string{"vrouter_build_info", "vrouter_fib_read_back_seconds", "vrouter_fib_read_backs_total",
			"vrouter_bgp_peer_messages_total", "vrouter_bgp_peer_octets_total", "vrouter_bgp_peer_lag_octets",
			"vrouter_bgp_peer_updates_malformed_total", "vrouter_bgp_peer_walks_total",
			"vrouter_bgp_table_attribute_sets", "vrouter_bgp_table_octets"}
		got := r.metrics(counted...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		r.client.Disconnect()
		r.pass(time.Minute)
		if all := r.metrics(); !slices.Contains(all, "store_reachable 0") {
			t.Errorf("the store is away, but: %q", all)
		}
	})
}

func TestMetricsOfAReflector(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.start(func(o *Options) { o.Table, o.Interfaces = nil, nil })
		for _, line := range r.metrics() {
			if strings.HasPrefix(line, "fib_") || strings.HasPrefix(line, "endpoints") {
				t.Errorf("%s on a node without a dataplane", line)
			}
		}
	})
}

// The probe of the store shows how far the view is behind.
func TestStoreLag(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.start()
		r.agent.feed.probed(r.agent.view.Revision()+5, time.Now(), nil)
		if all := r.metrics(); !slices.Contains(all, "store_revision_lag 5") {
			t.Errorf("lag of 5: %q", all)
		}
	})
}
