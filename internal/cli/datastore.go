package cli

import (
	"context"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) datastoreCommand() *cobra.Command {
	return group("datastore", "Lock the datastore, or move what it holds to another etcd",
		a.datastoreLockCommand(), a.datastoreUnlockCommand(), a.datastoreExportCommand(), a.datastoreImportCommand())
}

func (a *app) datastoreLockCommand() *cobra.Command {
	var reason, by string
	c := &cobra.Command{
		Use:   "lock",
		Short: "Have nothing written to the datastore",
		Long: `Have nothing written to the datastore until it is unlocked: every write is refused,
with who has locked it and why. Hosts keep what they have, also when their
vrouterd restarts; packets flow, sessions stay.`,
		Example: `  vrouterctl datastore lock --reason "moving to etcd-new, until 22:00"`,
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			m, err := c.datastore.Lock(cmd.Context(), &vrouterv1.LockRequest{By: or(by, a.caller()), Reason: reason})
			if err != nil {
				return err
			}
			if m.GetAlready() {
				a.line("datastore was locked already%s", lockText(m.GetBy(), m.GetSince(), m.GetReason()))
				return nil
			}
			a.line("datastore locked: nothing is written until 'vrouterctl datastore unlock'")
			return nil
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those whose writes are refused")
	c.Flags().StringVar(&by, "by", "", "who locks it (default the user and host that call)")
	return c
}

// caller is who calls, as far as the environment knows.
func (a *app) caller() string {
	who := or(a.Getenv("SUDO_USER"), a.Getenv("USER"), "root")
	if uid := os.Getuid(); who == "root" && uid != 0 {
		who = "uid " + strconv.Itoa(uid)
	}
	if host, err := os.Hostname(); err == nil {
		who += "@" + host
	}
	return who
}

// lockText says what is known of a lock.
func lockText(by, since, reason string) string {
	text := ""
	if by != "" {
		text += " by " + by
	}
	if since != "" {
		text += " since " + since
	}
	if reason != "" {
		text += " (" + reason + ")"
	}
	return text
}

func (a *app) datastoreUnlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unlock",
		Short: "Have the datastore written to again",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			m, err := c.datastore.Unlock(cmd.Context(), &vrouterv1.UnlockRequest{})
			if err != nil {
				return err
			}
			if m.GetAlready() {
				a.line("datastore was not locked")
			} else {
				a.line("datastore unlocked")
			}
			return nil
		},
	}
}

func (a *app) datastoreExportCommand() *cobra.Command {
	var without bool
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write what the datastore holds into a file",
		Long: `Write what the datastore holds into a file: all objects and all of address
management, as they stand at one moment. What hosts find out by themselves, such
as statuses, is not in it. - is standard output.

The file holds the values of Secrets, and only its owner may read it. They are
given out over the Unix socket only; over TCP --without-secrets is needed.

To move a cluster, lock the datastore first: what is written after the export is
not in the file.`,
		Example: `  vrouterctl datastore export cluster.export
  vrouterctl datastore export --without-secrets - | gzip > cluster.export.gz`,
		Args:              arguments(1, "FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.export(cmd.Context(), c, args[0], without)
		},
	}
	c.Flags().BoolVar(&without, "without-secrets", false, "leave out the Secrets")
	return c
}

func (a *app) datastoreImportCommand() *cobra.Command {
	var from importSource
	c := &cobra.Command{
		Use:   "import FILE | import --from calico FILE...",
		Short: "Fill a new datastore with what files hold",
		Long: `Fill a new datastore with what a file of 'datastore export' holds. All of the file
is checked before anything is written, and the datastore must hold nothing yet.
It is locked from then on, and no host follows it before the import is whole; one
that broke off may be repeated. - is standard input.

Hosts of the cluster that was exported take the datastore for a foreign one: move
their vrouterd to it, adopt it ('vrouterctl cluster adopt'), then unlock it.

With --from calico the files are what Calico's tools write: that of 'calicoctl
datastore migrate export', or what 'calicoctl get' and 'kubectl get' print of its
objects as YAML or JSON, IPAMBlocks, BlockAffinities, IPAMHandles and IPAMConfigs
included. Every address stays where it is: with the endpoint that has it, where
the files have that, else under the handle that it has, as one that is never
collected. What cannot be taken is refused, all of it, and nothing is written.`,
		Example: `  vrouterctl datastore import --dry-run cluster.export
  vrouterctl datastore import cluster.export
  vrouterctl datastore import --from calico --dry-run calico.export endpoints.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case from.format != "" && from.format != "calico":
				return usagef("--from: %q is not calico", from.format)
			case len(args) == 0:
				return usagef("FILE is needed")
			case len(args) > 1 && from.format == "":
				return usagef("unexpected argument %q: several files go with --from calico", args[1])
			}
			for i, path := range args {
				if slices.Contains(args[:i], path) {
					return usagef("FILE: %s is given twice", path)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			from.paths = args
			return a.importFiles(cmd.Context(), c, from)
		},
	}
	c.Flags().BoolVar(&from.dryRun, "dry-run", false, "check files and datastore, and write nothing")
	c.Flags().StringVar(&from.format, "from", "", "what wrote the files: calico (default vrouter itself)")
	_ = c.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"calico"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// completeFile completes the one argument with names of files.
func completeFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// export writes to a file that appears only when it is whole, and that only its
// owner may read.
func (a *app) export(ctx context.Context, c *client, path string, without bool) error {
	if path == "-" {
		summary, err := a.receiveExport(ctx, c, without, a.Out)
		if err == nil {
			a.warnings(summary.GetWarnings())
		}
		return err
	}
	var summary *vrouterv1.ExportSummary
	err := writeWhole(path, func(file *os.File) (err error) {
		summary, err = a.receiveExport(ctx, c, without, file)
		return err
	})
	if err != nil {
		return err
	}
	a.warnings(summary.GetWarnings())
	a.line("%s written: %d keys of cluster %s at revision %d", path, summary.GetKeys(), summary.GetClusterGuid(), summary.GetRevision())
	return nil
}

func (a *app) warnings(list []string) {
	for _, w := range list {
		a.warn("", w)
	}
}
