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
	"github.com/projectvrouter/vrouter/policy/nftables"
)

// policing plugs in what enforces policy. Where policy is off, what an earlier
// process enforced is taken out: nothing would keep it true.
func policing(ctx context.Context, cfg config.Config, opts *agent.Options, log hclog.Logger) (tasks []task, closeIt func(), err error) {
	log = log.Named("policy")
	filter, err := nftables.New(nftables.Options{Logger: log})
	switch {
	case err != nil && cfg.Policy == config.PolicyOff:
		log.Debug("kernel has no nftables", "error", err)
		return nil, func() {}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("open nftables: %w", err)
	}
	if cfg.Policy == config.PolicyOff {
		defer filter.Close()
		if err := filter.Clean(ctx); err != nil {
			return nil, nil, fmt.Errorf("policy is off: take out what was enforced before: %w", err)
		}
		return nil, func() {}, nil
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
		Resolver: resolver, Table: policy.NewTable(resolver, filter, policy.Options{Logger: log}), Dataplane: string(config.DataplaneNFTables),
		Flows: flows{host},
	}
	addresses := func(ctx context.Context) error {
		return host.FollowAddresses(ctx, func(all map[string][]netip.Addr) { resolver.SetHost(policy.Host{Interfaces: all}) })
	}
	return []task{{"host addresses", addresses}}, func() { host.Close(); filter.Close() }, nil
}
