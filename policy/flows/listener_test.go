package flows_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/testenv"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/flows"
	"github.com/projectvrouter/vrouter/policy/iptables"
	"github.com/projectvrouter/vrouter/policy/nftables"
)

const group = 1790

const manifests = `
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: a, labels: {role: db}}
spec: {orchestrator: o, workload: db, endpoint: e, node: host, interfaceName: cali1, ipNetworks: [10.65.0.1], profiles: [projectcalico-default-allow]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: a}
spec:
  selector: role == 'db'
  ingress:
    - {action: Log, protocol: TCP, destination: {ports: [81]}}
    - {action: Deny, protocol: TCP, destination: {ports: [81]}}
`

// open makes a dataplane in a network namespace.
type open func(netns *int) (policy.Dataplane, error)

// site is a host that enforces the manifests, with a workload on cali1.
func site(t *testing.T, open open) (host, outside *lab.Host) {
	t.Helper()
	l := lab.New(t, "flows")
	host, outside = l.Host("host"), l.Host("outside")
	host.Forward()
	l.Link(host.Port("uplink", "192.0.2.1/24"), outside.Port("eth0", "192.0.2.2/24"))
	outside.AddRoute("10.65.0.0/16", "192.0.2.1")
	host.Workload("db", "cali1", "10.65.0.1")
	host.SetSysctl("net/ipv4/conf/cali1/proxy_arp", "1")
	host.MustRun("ip", "route", "replace", "10.65.0.1/32", "dev", "cali1", "src", "192.0.2.1")

	resolver := policy.NewResolver("host")
	settings := policy.DefaultSettings()
	settings.FlowGroup = group
	resolver.SetDefaults(settings)
	read, err := resource.ReadManifests("test", []byte(manifests))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range read {
		resource.Canonicalize(m.Message)
		object, err := resource.Check(m.Message)
		if err != nil {
			t.Fatal(err)
		}
		resolver.Put(object)
	}
	fd := int(host.NetNS())
	plane, err := open(&fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plane.Close() })
	if err := plane.Sync(t.Context(), resolver.All()); err != nil {
		t.Fatal(err)
	}
	return host, outside
}

// Packets that are denied or logged come with what decided about them.
func TestFlows(t *testing.T) {
	t.Run("nftables", func(t *testing.T) {
		testenv.Need(t, "root")
		testFlows(t, func(netns *int) (policy.Dataplane, error) { return nftables.New(nftables.Options{NetNS: netns}) })
	})
	t.Run("iptables", func(t *testing.T) {
		testenv.Need(t, "root", "program:iptables")
		testFlows(t, func(netns *int) (policy.Dataplane, error) { return iptables.New(iptables.Options{NetNS: netns}) })
	})
}

func testFlows(t *testing.T, open open) {
	host, outside := site(t, open)
	l := flows.New(flows.Options{Group: group, NetNS: int(host.NetNS()), InterfaceName: func(int) (string, error) { return "link", nil }})
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	for round := range 2 { // the second has a socket of its own
		seen := watch(t, l, outside)
		want := []policy.Flow{
			{Prefix: policy.FlowPrefix{Action: policy.Log, Rule: 0, Subject: "NetworkPolicy/a/db"}, Packet: packet(81)},
			{Prefix: policy.FlowPrefix{Action: policy.Deny, Rule: 1, Subject: "NetworkPolicy/a/db"}, Packet: packet(81)},
			{Prefix: policy.FlowPrefix{Action: policy.Deny, Rule: -1, Subject: "Tier/default"}, Packet: packet(80)},
		}
		for _, w := range want {
			if !slices.ContainsFunc(seen, func(f policy.Flow) bool {
				f.Packet.SourcePort = 0
				return f.Prefix == w.Prefix && f.Packet == w.Packet && f.In == "link" && f.Length == 60
			}) {
				t.Errorf("round %d: no %v in %v", round, w, seen)
			}
		}
	}
}

func packet(port uint16) policy.Packet {
	return policy.Packet{
		Source: netip.MustParseAddr("192.0.2.2"), Destination: netip.MustParseAddr("10.65.0.1"),
		Protocol: policy.ProtocolTCP, DestinationPort: port,
	}
}

// watch sends packets until all kinds of flows were seen.
func watch(t *testing.T, l *flows.Listener, outside *lab.Host) (seen []policy.Flow) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var senders sync.WaitGroup
	defer senders.Wait()
	ready := func() error {
		for _, port := range []string{"80", "81"} {
			senders.Add(1)
			go func() {
				defer senders.Done()
				for ctx.Err() == nil {
					try, end := context.WithTimeout(ctx, 100*time.Millisecond)
					if conn, err := outside.DialContext(try, "tcp", net.JoinHostPort("10.65.0.1", port)); err == nil {
						conn.Close()
					}
					end()
				}
			}()
		}
		return nil
	}
	kinds := make(map[policy.FlowPrefix]bool)
	err := l.Watch(ctx, ready, func(f policy.Flow, missed uint64) error {
		if missed > 0 {
			t.Errorf("%d missed", missed)
		}
		seen, kinds[f.Prefix] = append(seen, f), true
		if len(kinds) == 3 {
			cancel()
			return os.ErrClosed
		}
		return nil
	})
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("watch: %v; %v", err, seen)
	}
	return seen
}
