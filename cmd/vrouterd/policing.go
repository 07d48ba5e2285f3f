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
	resolver := policy.NewResolver(cfg.Node.Name)
	settings := policy.DefaultSettings()
	settings.WorkloadPrefixes = cfg.Workloads.InterfacePrefixes
	resolver.SetDefaults(settings)
	opts.Policing = &agent.Policing{
		Resolver: resolver, Table: policy.NewTable(resolver, filter, policy.Options{Logger: log}), Dataplane: string(called),
		Flows: flows{host},
	}
	addresses := func(ctx context.Context) error {
		return host.FollowAddresses(ctx, func(all map[string][]netip.Addr) { resolver.SetHost(policy.Host{Interfaces: all}) })
	}
	return []task{{"host addresses", addresses}}, func() { host.Close(); filter.Close() }, nil
}
