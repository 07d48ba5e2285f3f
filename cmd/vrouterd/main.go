// Listeners are plain TCP: one of MPTCP, which Go opens where it can, refuses
// the options that BGP needs, TTL (RFC 5082) and MD5 (RFC 2385).

//go:debug multipathtcp=0

// Vrouterd is the daemon of a host: it puts a route for every local workload
// into the kernel, advertises it over BGP, and installs what it learns. As
// `vrouterd reflector` it is a route reflector that touches no kernel route; as `vrouterd
// controller` it elects reflectors and collects addresses.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/projectvrouter/vrouter/internal/agent"
	"github.com/projectvrouter/vrouter/internal/config"
	"github.com/projectvrouter/vrouter/internal/version"
)

// Exit codes of vrouterd.
const (
	exitFailure = 1 // the daemon could not go on, or --check found an error
	exitUsage   = 2 // wrong flags, or a configuration with problems
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "vrouterd:", err)
		return exitCode(err)
	}
	return 0
}

// usageError is an error of whoever started the program.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

func command() *cobra.Command {
	var path string
	var check bool
	run := func(role string) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return usageError{err}
			}
			if check {
				return checkHost(cmd.Context(), cmd.OutOrStdout(), cfg)
			}
			return serve(cmd.Context(), cfg, role)
		}
	}
	root := &cobra.Command{
		Use:           "vrouterd",
		Short:         "BGP routing appliance for hosts",
		Version:       version.String(),
		Args:          noArgs,
		RunE:          run(agent.RoleAgent),
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVarP(&path, "config", "c", config.DefaultPath, "configuration file")
	root.PersistentFlags().BoolVar(&check, "check", false, "say what kernel and host lack or have set against vrouter, and exit")
	root.AddCommand(
		&cobra.Command{Use: "agent", Short: "Serve a host (the default)", Args: noArgs, RunE: run(agent.RoleAgent)},
		&cobra.Command{Use: "reflector", Short: "Reflect routes, and touch none in the kernel", Args: noArgs, RunE: run(agent.RoleReflector)},
		&cobra.Command{Use: "controller", Short: "Elect route reflectors and collect addresses; any number may run, one leads", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return usageError{err}
			}
			return control(cmd.Context(), cfg)
		}},
		&cobra.Command{Use: "cleanup", Short: "Take out of the kernel what vrouterd has put there; not while it runs", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return usageError{err}
			}
			return cleanup(cmd.Context(), cmd.OutOrStdout(), cfg)
		}},
	)
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
	}
	return nil
}
