package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"

	"github.com/hashicorp/go-hclog"

	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/hostnet"
)

// checkHost prints what kernel and host lack or have set against vrouter, and
// fails when something is missing that vrouterd cannot do without.
func checkHost(ctx context.Context, out io.Writer, cfg config.Config) error {
	host, err := hostnet.Open(hclog.NewNullLogger(), hostnet.KernelSysctls())
	if err != nil {
		return err
	}
	defer host.Close()
	opts := hostnet.CheckOptions{Protocols: protocols(cfg)}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	bad := 0
	for _, f := range host.Check(ctx, opts) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Severity, f.Name, f.Detail)
		if f.Hint != "" {
			fmt.Fprintf(w, "\t\t%s\n", f.Hint)
		}
		if f.Severity == hostnet.Error {
			bad++
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	found, err := host.Detect(ctx, detectOptions(cfg))
	if err != nil {
		return fmt.Errorf("detect the node's addresses: %w", err)
	}
	if err := printDetection(out, cfg, found); err != nil {
		return err
	}
	if bad > 0 {
		return errors.New("this host cannot run vrouterd as it is")
	}
	return nil
}

// printDetection prints the node's addresses, and what was considered where the
// configuration states none.
func printDetection(out io.Writer, cfg config.Config, found hostnet.Detection) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	opts := detectOptions(cfg)
	for _, f := range []struct {
		name   string
		stated netip.Prefix
		method hostnet.Method
		found  hostnet.Found
	}{{"IPv4", cfg.Node.IPv4, opts.IPv4, found.IPv4}, {"IPv6", cfg.Node.IPv6, opts.IPv6, found.IPv6}} {
		switch {
		case f.stated.IsValid():
			fmt.Fprintf(w, "\n%s address: %s, as configured\n", f.name, f.stated)
			continue
		case f.method.Kind == "":
			fmt.Fprintf(w, "\n%s address: none is looked for\n", f.name)
			continue
		}
		fmt.Fprintf(w, "\n%s address: %s by %s: %s\n", f.name, prefixText(f.found), methodText(f.method), f.found.Reason)
		for _, c := range f.found.Candidates {
			mark := ""
			if c.Chosen {
				mark = "*"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", mark, c.Interface, c.Prefix, c.Reason)
		}
	}
	return w.Flush()
}
