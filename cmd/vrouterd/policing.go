package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/agent"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/policy"
	nflog "github.com/projectvrouter/vrouter/policy/flows"
	"github.com/projectvrouter/vrouter/policy/iptables"
)

// policing plugs in what enforces policy.
func policing(ctx context.Context, cfg config.Config, opts *agent.Options, log hclog.Logger) (tasks []task, closeIt func(), err error) {
	log = log.Named("policy")
	if cfg.Policy == config.PolicyOff {
		return nil, func() {}, noFilter(ctx, log)
	}
	filter, called, err := openFilter(cfg.Dataplane, log)
	if err != nil {
		return nil, nil, err
	}
	host, err := hostnet.Open(log, hostnet.KernelSysctls())
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the kernel's addresses: %w", err), filter.Close())
	}
	known, err := host.Addresses()
	if err != nil {
		host.Close()
		return nil, nil, errors.Join(err, filter.Close())
	}
	resolver := policy.NewResolver(cfg.Node.Name)
	// Before anything is enforced: else a restart would let go of interfaces that
	// host endpoints are known to have by their addresses.
	resolver.SetHost(policy.Host{Interfaces: known})
	settings := policy.DefaultSettings()
	settings.WorkloadPrefixes = cfg.Workloads.InterfacePrefixes
	watch := watchFlows(&settings, log)
	resolver.SetDefaults(settings)
	opts.Policing = &agent.Policing{
		Resolver: resolver, Table: policy.NewTable(resolver, filter, policy.Options{Logger: log}), Dataplane: string(called),
		Flows: flows{host}, Watch: watch, Firewalls: firewalls{iptables.NewForeign(nil)},
	}
	addresses := func(ctx context.Context) error {
		return host.FollowAddresses(ctx, func(all map[string][]netip.Addr) { resolver.SetHost(policy.Host{Interfaces: all}) })
	}
	return []task{{"host addresses", addresses}}, func() { host.Close(); filter.Close() }, nil
}

// flowGroup is the NFLOG group of denied and logged packets: that of BGP's port
// and a zero, which nobody else is likely to use.
const flowGroup = 1790

// watchFlows has dataplanes send denied and logged packets to the flow group,
// where the kernel has NFLOG: without it, it would refuse the rules.
func watchFlows(settings *policy.Settings, log hclog.Logger) agent.FlowWatch {
	listener := nflog.New(nflog.Options{Group: flowGroup})
	if err := listener.Check(); err != nil {
		log.Warn("denied and logged packets cannot be watched", "error", err)
		return nil
	}
	settings.FlowGroup = flowGroup
	return listener
}
