package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/credentials"
)

// DefaultServer is the socket of the vrouterd on this host.
const DefaultServer = "unix:///run/vrouter/vrouterd.sock"

// app is one run of the program.
type app struct {
	IO
	flags    globalFlags
	root     *cobra.Command
	started  bool // a command was found and its line is right
	client   *client
	progress progress
}

// globalFlags hold for every command.
type globalFlags struct {
	server        string
	ca, cert, key string
	timeout       time.Duration
	noColor       bool
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "vrouterctl",
		Short: "Look after a fabric of vrouter",
		Long: `vrouterctl reads and writes the objects of a vrouter cluster and shows what its
nodes do. It speaks to one vrouterd, by default to that of this host; any
vrouterd answers for the whole cluster.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.root = root
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	a.globalFlags(root)
	const objects, network, other = "objects", "network", "other"
	root.AddGroup(&cobra.Group{ID: objects, Title: "Objects:"},
		&cobra.Group{ID: network, Title: "Network:"}, &cobra.Group{ID: other, Title: "Other:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(objects, a.getCommand(), a.applyCommand(), a.createCommand(), a.replaceCommand(), a.patchCommand(), a.deleteCommand())
	add(network, a.endpointCommand(), a.policyCommand(), a.explainCommand(), a.flowsCommand(), a.nodeCommand(), a.routesCommand(), a.reflectorCommand(), a.ipamCommand(), a.clusterCommand(), a.datastoreCommand())
	add(other, a.selectorCommand(), a.logLevelCommand(), a.versionCommand())
	root.AddCommand(exitCodesTopic())
	root.SetHelpCommandGroupID(other)
	root.SetCompletionCommandGroupID(other)
	return root
}

func (a *app) globalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&a.flags.server, "server", a.env("VROUTER_SERVER", DefaultServer),
		"`address` of the vrouterd to speak to: unix:///PATH or HOST:PORT (VROUTER_SERVER)")
	flags.StringVar(&a.flags.ca, "ca", a.env("VROUTER_CA", ""), "`file` of the authority that signed the server's certificate (VROUTER_CA)")
	flags.StringVar(&a.flags.cert, "cert", a.env("VROUTER_CERT", ""), "`file` of the client's certificate (VROUTER_CERT)")
	flags.StringVar(&a.flags.key, "key", a.env("VROUTER_KEY", ""), "`file` of the client's key (VROUTER_KEY)")
	flags.DurationVar(&a.flags.timeout, "timeout", 30*time.Second, "how long one call, or a wait, may take; 0: for ever")
	flags.BoolVar(&a.flags.noColor, "no-color", false, "no colour on a terminal (NO_COLOR)")
	for _, name := range []string{"ca", "cert", "key"} {
		_ = root.MarkPersistentFlagFilename(name) // only completion; the flag exists
	}
}

// env is an environment variable, or its default.
func (a *app) env(name, otherwise string) string {
	if value := a.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// source names where the value of a global flag came from.
func (a *app) source(flag, variable string) string {
	if !a.root.PersistentFlags().Changed(flag) && a.Getenv(variable) != "" {
		return variable
	}
	return "--" + flag
}

// tls are the credentials that a server on TCP asks for.
func (f *globalFlags) tls() (credentials.TransportCredentials, error) {
	for _, file := range []struct{ flag, path string }{{"--ca", f.ca}, {"--cert", f.cert}, {"--key", f.key}} {
		if file.path == "" {
			return nil, usagef("%s is needed: over TCP vrouterd speaks only mutual TLS", file.flag)
		}
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, usagef("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, usagef("--ca: %s holds no certificate in PEM", f.ca)
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, usagef("--cert %s, --key %s: %w", f.cert, f.key, err)
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion:   tls.VersionTLS13,
		RootCAs:      roots,
		Certificates: []tls.Certificate{pair},
	}), nil
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  subcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(commands...)
	return c
}

// subcommand is the check of arguments of a command that only holds others:
// what comes here is none of them.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(like, " or "))
	}
	return usagef("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}

// arguments is the check of a command that takes at least least arguments, and
// no more than names has.
func arguments(least int, names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef("%s is needed", names[len(args)])
		}
		if len(args) > len(names) {
			return usagef("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// line prints one line of a result.
func (a *app) line(format string, args ...any) {
	a.progress.clear()
	fmt.Fprintln(a.Out, printable(fmt.Sprintf(format, args...)))
}
