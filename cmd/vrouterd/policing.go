package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/agent"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/nftables"
)

// policing plugs in what enforces policy. Where policy is off, what an earlier
// process enforced is taken out: nothing would keep it true.
func policing(ctx context.Context, cfg config.Config, opts *agent.Options, log hclog.Logger) (closeIt func(), err error) {
	log = log.Named("policy")
	filter, err := nftables.New(nftables.Options{Logger: log})
	switch {
	case err != nil && cfg.Policy == config.PolicyOff:
		log.Debug("kernel has no nftables", "error", err)
		return func() {}, nil
	case err != nil:
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	if cfg.Policy == config.PolicyOff {
		defer filter.Close()
		if err := filter.Clean(ctx); err != nil {
			return nil, fmt.Errorf("policy is off: take out what was enforced before: %w", err)
		}
		return func() {}, nil
	}
	resolver := policy.NewResolver(cfg.Node.Name)
	settings := policy.DefaultSettings()
	settings.WorkloadPrefixes = cfg.Workloads.InterfacePrefixes
	resolver.SetDefaults(settings)
	opts.Policing = &agent.Policing{
		Resolver: resolver, Table: policy.NewTable(resolver, filter, policy.Options{Logger: log}), Dataplane: string(config.DataplaneNFTables),
	}
	return func() { filter.Close() }, nil
}
