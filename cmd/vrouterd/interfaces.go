package main

import (
	"context"
	"net/netip"
	"strings"

	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/internal/resource"
)

// interfaces is the agent's port to workload interfaces, over hostnet.
type interfaces struct {
	*hostnet.Watcher
	host *hostnet.Host
}

// Prepare implements agent.Interfaces.
func (i interfaces) Prepare(_ context.Context, name string, kind resource.InterfaceType) error {
	return i.host.PrepareInterface(hostnet.Interface{Name: name, Kind: interfaceKind(kind)})
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
