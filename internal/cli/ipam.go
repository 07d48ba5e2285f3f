package cli

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) ipamCommand() *cobra.Command {
	return group("ipam", "Show, check and change who holds which addresses", a.ipamShowCommand(), a.ipamCheckCommand(),
		a.ipamReleaseCommand(), a.ipamConfigureCommand(), a.ipamReserveCommand(), a.ipamSplitCommand(),
		a.ipamAssignBlockCommand(), a.ipamReleaseBlockCommand())
}

func (a *app) ipamCheckCommand() *cobra.Command {
	var output, report string
	var kernel bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Compare blocks, affinities, handles, endpoints, pools and the kernels of hosts",
		Long: `Compare blocks, affinities, handles, endpoints and pools with each other, as they
are at one moment, and with the routes to workloads in the kernels of all hosts
that can be asked; the others are named, and count as no problem. What is found
in a kernel was found twice, a second apart. It changes nothing, and may run
beside everything else. With --report all findings are written to a file, which
'ipam release --from-report' takes: it releases leaked addresses, and touches
nothing on account of a kernel. Where anything is wrong the exit code is 1.`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "table", formatYAML, formatJSON)
			if err != nil {
				return err
			}
			return a.ipamCheck(cmd.Context(), f, kernel, report)
		},
	}
	c.Flags().BoolVar(&kernel, "kernel", true, "whether hosts are asked for their routes")
	c.Flags().StringVar(&report, "report", "", "`file` to write all findings to")
	_ = c.MarkFlagFilename("report", "json") // only completion; the flag exists
	bindOutput(c, &output, "table", formatYAML, formatJSON)
	return c
}

func (a *app) ipamCheck(ctx context.Context, f format, kernel bool, report string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	m, err := c.addresses.Check(ctx, &vrouterv1.CheckRequest{Kernel: kernel})
	if err != nil {
		return err
	}
	if report != "" {
		data, err := protojson.MarshalOptions{Multiline: true, EmitUnpopulated: true}.Marshal(m)
		if err == nil {
			err = os.WriteFile(report, append(data, '\n'), 0o600)
		}
		if err != nil {
			return fmt.Errorf("write report %s: %w", report, err)
		}
	}
	if f != formatTable {
		err = a.writeMessage(f, m)
	} else if err = a.writeCheck(m); err == nil && report != "" && len(m.GetLeaks()) > 0 {
		a.line("'vrouterctl ipam release --from-report %s' releases them", report)
	}
	if err != nil {
		return err
	}
	if len(m.GetProblems()) > 0 {
		return &reportedError{ExitFailed}
	}
	return nil
}

func (a *app) writeCheck(m *vrouterv1.CheckResponse) error {
	if err := a.writeUsage(m.GetPools()); err != nil {
		return err
	}
	a.writeChecked(m.GetNodes())
	if len(m.GetProblems()) == 0 {
		a.painted("nothing is wrong", good)
		return nil
	}
	a.line("")
	t := a.newTable(false, "problem", "subject", flexible+"detail")
	for _, p := range m.GetProblems() {
		t.add(p.GetKind(), p.GetSubject(), p.GetDetail())
	}
	if err := t.flush(a.Out); err != nil {
		return err
	}
	a.line("")
	a.painted(fmt.Sprintf("%s, %s to release", plural(len(m.GetProblems()), "problem", "problems"),
		plural(len(m.GetLeaks()), "address", "addresses")), doubtful)
	return nil
}

// writeChecked says whose kernels were compared, and whose could not be.
func (a *app) writeChecked(nodes []*vrouterv1.NodeCheck) {
	checked, routes := 0, int64(0)
	for _, n := range nodes {
		if n.GetChecked() {
			checked++
			routes += n.GetRoutes()
		}
	}
	if len(nodes) > 0 {
		a.line("%d routes to workloads in the kernels of %d of %d nodes", routes, checked, len(nodes))
	}
	for _, n := range nodes {
		if !n.GetChecked() {
			a.painted(fmt.Sprintf("not checked: %s: %s", n.GetNode(), n.GetReason()), doubtful)
		}
	}
}

func (a *app) ipamConfigureCommand() *cobra.Command {
	var strict, claim bool
	var blocks int32
	var cooldown time.Duration
	var foreign []string
	c := &cobra.Command{
		Use:   "configure",
		Short: "Change the settings of address management",
		Long: `Change the settings of address management, those that are named, in the
IPAMConfiguration, which is made if there is none. 'ipam show --configuration'
shows them. What is given out already stays: a host over a new limit keeps its
blocks.`,
		Example: "  vrouterctl ipam configure --strict-affinity --max-blocks-per-host 4",
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			set := map[string]func(*vrouterv1.IPAMConfigurationSpec){
				"strict-affinity":      func(s *vrouterv1.IPAMConfigurationSpec) { s.StrictAffinity = &strict },
				"auto-allocate-blocks": func(s *vrouterv1.IPAMConfigurationSpec) { s.AutoAllocateBlocks = &claim },
				"max-blocks-per-host":  func(s *vrouterv1.IPAMConfigurationSpec) { s.MaxBlocksPerHost = &blocks },
				"foreign-cidrs":        func(s *vrouterv1.IPAMConfigurationSpec) { s.ForeignCidrs = foreign },
				"cooldown": func(s *vrouterv1.IPAMConfigurationSpec) {
					seconds := max(-1, min(cooldown/time.Second, math.MaxInt32)) // vrouterd says what is too much
					s.IpCooldownSeconds = proto.Int32(int32(seconds))
				},
			}
			changed := false
			for name := range set {
				if changed = changed || cmd.Flags().Changed(name); !cmd.Flags().Changed(name) {
					delete(set, name)
				}
			}
			if !changed {
				return usagef("a setting to change is needed")
			}
			if cooldown%time.Second != 0 {
				return usagef("--cooldown %s: want whole seconds", cooldown)
			}
			return a.ipamConfigure(cmd.Context(), set)
		},
	}
	flags := c.Flags()
	flags.BoolVar(&strict, "strict-affinity", false, "whether hosts take addresses from their own blocks only")
	flags.BoolVar(&claim, "auto-allocate-blocks", true, "whether hosts claim blocks by themselves")
	flags.Int32Var(&blocks, "max-blocks-per-host", 0, fmt.Sprintf("how many blocks of a family a host may have; 0: %d", resource.DefaultMaxBlocks))
	flags.StringSliceVar(&foreign, "foreign-cidrs", nil, "`ranges` of others, such as Service addresses, that no pool may overlap; '' for none")
	flags.DurationVar(&cooldown, "cooldown", 0, "for how long a released address is held back, such as 30s")
	return c
}

func (a *app) ipamConfigure(ctx context.Context, set map[string]func(*vrouterv1.IPAMConfigurationSpec)) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	response, err := retryConflict(ctx, func() (*vrouterv1.PutResponse, error) {
		mode := vrouterv1.PutMode_PUT_MODE_REPLACE
		old, err := getObject(ctx, c, ref{kind: resource.KindIPAMConfiguration, name: resource.DefaultName})
		if exitCode(err) == ExitNotFound {
			mode, err = vrouterv1.PutMode_PUT_MODE_CREATE, nil
			old = &vrouterv1.IPAMConfiguration{Metadata: &vrouterv1.Metadata{Name: proto.String(resource.DefaultName)}}
		}
		if err != nil {
			return nil, err
		}
		next := proto.Clone(old).(*vrouterv1.IPAMConfiguration)
		if next.Spec == nil {
			next.Spec = &vrouterv1.IPAMConfigurationSpec{}
		}
		for _, change := range set {
			change(next.Spec)
		}
		return c.resources.Put(ctx, &vrouterv1.PutRequest{Resource: resource.Wrap(next), Mode: mode})
	})
	if err != nil {
		return err
	}
	switch {
	case response.GetCreated():
		a.line("ipamconfiguration/default created")
	case response.GetUnchanged():
		a.line("ipamconfiguration/default unchanged")
	default:
		a.line("ipamconfiguration/default configured")
	}
	return nil
}

func (a *app) ipamReserveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reserve NAME CIDR...",
		Short: "Keep addresses from being given out",
		Long: `Keep addresses from being given out by themselves, as an IPReservation of that
name. Those that are held stay held, and who registers an endpoint with one of
them by name gets it. 'delete ipreservation NAME' ends it.`,
		Example: "  vrouterctl ipam reserve gateways 10.65.0.0/30 10.65.255.255",
		Args:    cobra.MinimumNArgs(2),

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			msg := &vrouterv1.IPReservation{Metadata: &vrouterv1.Metadata{Name: &args[0]},
				Spec: &vrouterv1.IPReservationSpec{ReservedCidrs: args[1:]}}
			response, err := putObject(cmd.Context(), c, msg, vrouterv1.PutMode_PUT_MODE_CREATE, false)
			if err != nil {
				return err
			}
			a.line("ipreservation/%s created: %s", response.GetResource().GetIpReservation().GetMetadata().GetName(), plural(len(args)-1, "range", "ranges"))
			return nil
		},
	}
}

// completePools completes the name of a pool, the only argument.
func (a *app) completePools(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.names(cmd.Context(), resource.KindIPPool, ""), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) ipamSplitCommand() *cobra.Command {
	var parts int32
	c := &cobra.Command{
		Use:   "split POOL",
		Short: "Cut a pool into parts of equal size",
		Long: `Cut a pool into parts of equal size, named POOL-0 and on, which take its place at
once. Blocks and addresses stay as they are; the parts can then be given to
different nodes or namespaces.`,
		Args:              arguments(1, "POOL"),
		ValidArgsFunction: a.completePools,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			got, err := c.addresses.SplitPool(cmd.Context(), &vrouterv1.SplitPoolRequest{Pool: args[0], Parts: parts})
			if err != nil {
				return err
			}
			for _, name := range got.GetPools() {
				a.line("ippool/%s created", name)
			}
			a.line("ippool/%s deleted", args[0])
			return nil
		},
	}
	c.Flags().Int32Var(&parts, "parts", 2, "how many parts: a power of two, at most 32")
	return c
}
