// Reflectorbench measures route reflectors beside each other and prints their
// medians and ratios. It needs root, for network namespaces.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/projectvrouter/vrouter/integration/reflectorbench"
)

// floorCommand makes this program the floor, on the address that follows.
const floorCommand = "floor"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "reflectorbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == floorCommand {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(args[1], "179"))
		if err != nil {
			return err
		}
		return reflectorbench.Floor(ctx, l)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o, format, err := options(args, self)
	if err != nil {
		return err
	}
	if err := moreFiles(); err != nil {
		return err
	}
	results, err := reflectorbench.Run(ctx, o)
	if len(results) == 0 {
		return err
	}
	write := reflectorbench.WriteText
	if format == "json" {
		write = reflectorbench.WriteJSON
	}
	return errors.Join(err, write(os.Stdout, o, results))
}

// options reads the command line.
func options(args []string, self string) (o reflectorbench.Options, format string, err error) {
	o.Logf = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	all := reflectorbench.Targets(self, floorCommand)
	var known []string
	for _, t := range all {
		known = append(known, t.Name)
	}
	flags := flag.NewFlagSet("reflectorbench", flag.ContinueOnError)
	flags.IntVar(&o.Clients, "clients", 100, "sessions, beside that of the late joiner")
	flags.IntVar(&o.Routes, "routes", 1000, "routes of each client")
	flags.BoolVar(&o.IPv6, "ipv6", false, "IPv6 routes over IPv6 sessions, instead of IPv4")
	flags.IntVar(&o.Rounds, "rounds", 3, "how often each target is measured")
	flags.IntVar(&o.Rate, "rate", 1000, "updates a second in churn")
	flags.DurationVar(&o.Duration, "duration", 5*time.Second, "of churn, and of sustained updates")
	flags.IntVar(&o.Excess, "excess", 1_000_000, "routes that a client announces over its limit")
	flags.DurationVar(&o.Timeout, "timeout", 5*time.Minute, "of each scenario, and of the sessions coming up")
	flags.StringVar(&format, "o", "text", "output: text or json")
	targets := flags.String("targets", strings.Join(known, ","), "what is measured, in turn")
	chosen := flags.String("scenarios", strings.Join(reflectorbench.Scenarios(), ","), "what is measured of each; converge always is")
	if err := flags.Parse(args); err != nil {
		return o, "", err
	}
	if flags.NArg() > 0 {
		return o, "", fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if format != "text" && format != "json" {
		return o, "", fmt.Errorf("-o: %q is neither text nor json", format)
	}
	o.Scenarios = strings.Split(*chosen, ",")
	if o.Targets, err = reflectorbench.Select(all, strings.Split(*targets, ",")); err != nil {
		return o, "", err
	}
	return o, format, o.Check()
}

// moreFiles lets this program and those it starts open as many files as they
// may: a session is one.
func moreFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
