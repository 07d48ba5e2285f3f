package policy

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// obedient is a dataplane that takes everything, or refuses it.
type obedient struct {
	changed chan struct{}
	refuses atomic.Bool
}

func (o *obedient) Sync(ctx context.Context, u *Update) error { return o.Apply(ctx, u) }
func (o *obedient) Apply(context.Context, *Update) error {
	if o.refuses.Load() {
		return errors.New("refused")
	}
	return nil
}
func (o *obedient) Changed() <-chan struct{}                    { return o.changed }
func (o *obedient) Counters(context.Context) ([]Counter, error) { return nil, nil }
func (o *obedient) Clean(context.Context) error                 { return nil }
func (o *obedient) Close() error                                { return nil }

// TestDenies: connections are judged by what is in force, once somebody asks
// for it, and no longer than that.
func TestDenies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewResolver("h1")
		put := func(objects ...string) {
			for _, text := range objects {
				r.Put(parseObject(t, text))
			}
			synctest.Wait()
		}
		kernel := &obedient{changed: make(chan struct{})}
		put("WorkloadEndpoint default/a role=a {node: h1, interfaceName: calia, ipNetworks: [10.0.0.1]}",
			"WorkloadEndpoint default/b role=b {node: h1, interfaceName: calib, ipNetworks: [10.0.0.2]}",
			"WorkloadEndpoint default/c role=c {node: h2, interfaceName: calic, ipNetworks: [10.0.0.3]}",
			"GlobalNetworkPolicy p {selector: all(), types: [Ingress, Egress], egress: [{action: Allow}], "+
				"ingress: [{action: Allow, protocol: TCP, source: {selector: role == 'a'}, destination: {ports: [80]}}]}")
		table := NewTable(r, kernel, Options{ReadBack: -1})
		go table.Run(t.Context())
		synctest.Wait()
		denies := func(from, to string, port uint16) bool {
			return table.Denies(Connection{Packet: Packet{Source: netip.MustParseAddr(from), Destination: netip.MustParseAddr(to),
				Protocol: ProtocolTCP, SourcePort: 1000, DestinationPort: port}})
		}
		told := func() bool {
			select {
			case <-table.Denied():
				return true
			default:
				return false
			}
		}
		if told() || denies("10.0.0.1", "10.0.0.2", 81) {
			t.Error("connections are judged, and nobody asked for it")
		}
		put("FelixConfiguration default {cutDeniedConnections: true}")
		if !told() || denies("10.0.0.1", "10.0.0.2", 80) || !denies("10.0.0.1", "10.0.0.2", 81) || !denies("10.0.0.3", "10.0.0.2", 80) {
			t.Error("asked for, and not judged by ingress")
		}
		if denies("10.0.0.1", "10.0.0.3", 81) || denies("192.0.2.1", "192.0.2.2", 1) {
			t.Error("connections to other hosts and of strangers are not judged here")
		}
		host := Connection{Packet: Packet{Source: netip.MustParseAddr("10.0.9.9"), Destination: netip.MustParseAddr("10.0.0.2"),
			Protocol: ProtocolTCP, DestinationPort: 81}, FromHost: true}
		if table.Denies(host) {
			t.Error("what the host sends to its workloads is denied")
		}
		host.Source, host.Destination, host.FromHost, host.ToHost = host.Destination, host.Source, false, true
		if !table.Denies(host) {
			t.Error("what a workload sends to its host is not denied")
		}
		put("FelixConfiguration default {cutDeniedConnections: true, defaultEndpointToHostAction: Accept}")
		if table.Denies(host) || !told() {
			t.Error("what a workload may send to its host is denied")
		}

		kernel.refuses.Store(true)
		put("GlobalNetworkPolicy p {selector: all(), types: [Ingress, Egress]}")
		if told() || denies("10.0.0.1", "10.0.0.2", 80) {
			t.Error("judged by what the kernel refuses")
		}
		kernel.refuses.Store(false)
		time.Sleep(time.Minute) // virtual: until it is tried again
		if !told() || !denies("10.0.0.1", "10.0.0.2", 80) || !denies("10.0.0.1", "10.0.0.3", 80) {
			t.Error("not judged by what the kernel took at last")
		}
		put("FelixConfiguration default {}")
		if told() || denies("10.0.0.1", "10.0.0.2", 80) {
			t.Error("switched off, and still judged")
		}
	})
}
