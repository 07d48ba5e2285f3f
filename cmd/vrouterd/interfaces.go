package main

import (
	"context"
	"net/netip"
	"strings"

	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/iptables"
)

// interfaces is the agent's port to workload interfaces, over hostnet.
type interfaces struct {
	*hostnet.Watcher
	host *hostnet.Host
}

// Prepare implements agent.Interfaces.
func (i interfaces) Prepare(_ context.Context, name string, kind resource.InterfaceType, anySource bool) error {
	return i.host.PrepareInterface(hostnet.Interface{Name: name, Kind: interfaceKind(kind), AnySource: anySource})
}

// Forget implements agent.Interfaces.
func (i interfaces) Forget(_ context.Context, a netip.Addr) error {
	_, err := i.host.FlushConntrack(a)
	return err
}

func interfaceKind(t resource.InterfaceType) hostnet.Kind {
	switch t {
	case resource.InterfaceTap:
		return hostnet.Tap
	case resource.InterfacePhysical:
		return hostnet.Physical
	}
	return hostnet.Veth
}

// isWorkload reports whether an interface is a workload's by its name.
func isWorkload(prefixes []string) func(string) bool {
	return func(name string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				return true
			}
		}
		return false
	}
}

// flows is the agent's port to tracked connections, over hostnet.
type flows struct{ host *hostnet.Host }

// Cut implements agent.Flows.
func (f flows) Cut(ctx context.Context, denied func(policy.Connection) bool) (int, error) {
	return f.host.CutFlows(ctx, func(flow *hostnet.Flow) bool {
		return denied(policy.Connection{
			Packet: policy.Packet{
				Source: flow.Source, Destination: flow.Destination, Protocol: flow.Protocol,
				SourcePort: flow.SourcePort, DestinationPort: flow.DestinationPort,
				ICMPType: flow.ICMPType, ICMPCode: flow.ICMPCode,
			},
			FromHost: flow.FromHost, ToHost: flow.ToHost,
		})
	})
}

// firewalls is the agent's port to the rules of others.
type firewalls struct{ iptables.Foreign }

// Drops implements agent.Firewalls.
func (f firewalls) Drops(ctx context.Context) ([]string, error) { return hostnet.ForwardDrops(ctx) }
