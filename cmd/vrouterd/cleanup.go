package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/fib"
	"github.com/projectvrouter/vrouter/fib/rtnetlink"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/hostnet"
	"github.com/projectvrouter/vrouter/policy/iptables"
	"github.com/projectvrouter/vrouter/policy/nftables"
)

// cleanup takes out of the kernel what daemons of this host have put there:
// rules, sets, routes and next-hop objects with our marks. It says what it
// removed. It does nothing while a daemon runs, which would put it back.
// Policy goes last: nothing that it closed is reached meanwhile.
func cleanup(ctx context.Context, out io.Writer, cfg config.Config) error {
	held, err := lock(cfg.API.Socket)
	if err != nil {
		return err
	}
	defer held.Close()
	said := &removals{out: out}
	err = errors.Join(cleanRoutes(ctx, said, cfg), cleanIPTables(ctx, said), cleanNFTables(ctx, said))
	if err == nil && said.n == 0 {
		fmt.Fprintln(out, "nothing of vrouter is left in the kernel")
	}
	return err
}

// removals prints what is gone.
type removals struct {
	out io.Writer
	n   int
}

func (r *removals) say(n int, what string) {
	if n > 0 {
		fmt.Fprintf(r.out, "removed %d %s\n", n, what)
	}
	r.n += n
}

// cleanRoutes has a table that wants nothing made true.
func cleanRoutes(ctx context.Context, said *removals, cfg config.Config) error {
	host, err := hostnet.Open(hclog.NewNullLogger(), hostnet.KernelSysctls())
	if err != nil {
		return err
	}
	defer host.Close()
	kernel, err := rtnetlink.New(rtnetlink.Options{})
	if err != nil {
		return fmt.Errorf("open the kernel's routes: %w", err)
	}
	defer kernel.Close()
	before, err := host.CountRoutes(protocols(cfg)...)
	if err != nil {
		return err
	}
	table := fib.New(kernel, tableOptions(cfg, hclog.NewNullLogger()))
	for _, source := range fib.Sources() {
		table.Done(source)
	}
	failed := table.Sync(ctx, true)
	after, err := host.CountRoutes(protocols(cfg)...)
	if err != nil {
		return errors.Join(failed, err)
	}
	for i, source := range fib.Sources() {
		protocol := protocols(cfg)[i]
		said.say(before[protocol]-after[protocol], fmt.Sprintf("routes of source %s (protocol %d)", source, protocol))
		if left := after[protocol]; left > 0 {
			failed = errors.Join(failed, fmt.Errorf("%d routes of protocol %d are left, in other tables or of another program", left, protocol))
		}
	}
	return failed
}

func cleanIPTables(ctx context.Context, said *removals) error {
	if err := iptables.NewForeign(nil).Accept(ctx, nil); err != nil {
		return fmt.Errorf("take accepts out of the chains of others: %w", err)
	}
	left := iptables.NewRemains(nil)
	chains, sets, err := left.Left(ctx)
	if err == nil {
		err = left.Clean(ctx)
	}
	if err != nil {
		return fmt.Errorf("clean iptables: %w", err)
	}
	said.say(chains, "chains of iptables")
	said.say(sets, "ipsets")
	return nil
}

func cleanNFTables(ctx context.Context, said *removals) error {
	filter, err := nftables.New(nftables.Options{Logger: hclog.NewNullLogger()})
	if err != nil {
		return nil // a kernel without nftables has nothing of ours there
	}
	defer filter.Close()
	left, err := filter.Left()
	if err == nil && left {
		err = filter.Clean(ctx)
	}
	if err != nil {
		return fmt.Errorf("clean nftables: %w", err)
	}
	if left {
		said.say(1, "table of nftables, with all its rules and sets")
	}
	return nil
}
