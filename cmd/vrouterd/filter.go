package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/policy"
	"github.com/projectvrouter/vrouter/policy/iptables"
	"github.com/projectvrouter/vrouter/policy/nftables"
)

// openFilter opens the dataplane that the configuration asks for, and says what
// it is called. What another one has left gives way to it.
func openFilter(which config.Dataplane, log hclog.Logger) (policy.Dataplane, config.Dataplane, error) {
	if which == config.DataplaneAuto || which == config.DataplaneNFTables {
		nft, err := nftables.New(nftables.Options{Logger: log})
		switch {
		case err == nil:
			return policy.Succeed(nft, log, iptables.NewRemains(nil)), config.DataplaneNFTables, nil
		case which == config.DataplaneNFTables:
			return nil, "", fmt.Errorf("open nftables: %w", err)
		}
		log.Info("kernel has no nftables; using iptables", "error", err)
	}
	ipt, err := iptables.New(iptables.Options{Flavour: flavour(which), Logger: log})
	if err != nil {
		return nil, "", fmt.Errorf("open iptables: %w", err)
	}
	nft, err := nftables.New(nftables.Options{Logger: log})
	if err != nil {
		return ipt, config.DataplaneIPTables, nil // nothing of it can be in force
	}
	return closeBoth{policy.Succeed(ipt, log, nft), nft}, config.DataplaneIPTables, nil
}

func flavour(which config.Dataplane) iptables.Flavour {
	switch which {
	case config.DataplaneIPTablesNFT:
		return iptables.NFT
	case config.DataplaneIPTablesLegacy:
		return iptables.Legacy
	}
	return iptables.Auto
}

// closeBoth closes what gave way together with what took over.
type closeBoth struct {
	policy.Dataplane
	before *nftables.Dataplane
}

// Close implements policy.Dataplane.
func (c closeBoth) Close() error { return errors.Join(c.Dataplane.Close(), c.before.Close()) }

// noFilter takes out what an earlier process enforced: nothing would keep it
// true.
func noFilter(ctx context.Context, log hclog.Logger) error {
	if err := errors.Join(iptables.NewForeign(nil).Accept(ctx, nil), iptables.NewRemains(nil).Clean(ctx)); err != nil {
		log.Warn("policy is off, and rules of an earlier process may stay in force", "error", err)
	}
	nft, err := nftables.New(nftables.Options{Logger: log})
	if err != nil {
		log.Debug("kernel has no nftables", "error", err)
		return nil
	}
	defer nft.Close()
	if err := nft.Clean(ctx); err != nil {
		return fmt.Errorf("policy is off: take out what was enforced before: %w", err)
	}
	return nil
}
