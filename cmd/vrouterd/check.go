package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	p := cfg.FIB.Protocols
	opts := hostnet.CheckOptions{Protocols: []uint8{p.Workload, p.Overlay, p.BGP, p.Blackhole}}
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
	if bad > 0 {
		return errors.New("this host cannot run vrouterd as it is")
	}
	return nil
}
