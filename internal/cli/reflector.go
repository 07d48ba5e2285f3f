package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) reflectorCommand() *cobra.Command {
	c := group("reflector", "Show what the BGP speaker of a node does, be it a reflector or a host",
		a.reflectorStatusCommand(), a.reflectorPeersCommand(), a.reflectorRoutesCommand(),
		a.reflectorGroupCommand(), a.reflectorDumpCommand())
	c.Aliases = []string{"rr"}
	return c
}

// bindNode adds --node, and says what node that is.
func (a *app) bindNode(c *cobra.Command, node *string, what string) {
	c.Flags().StringVar(node, "node", "", what+" (default the one that takes the call)")
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes) // the flag exists
}

func (a *app) reflectorStatusCommand() *cobra.Command {
	var node, output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show sessions, table, update groups and monitoring stations in short",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "table", formatYAML, formatJSON)
			if err != nil {
				return err
			}
			m, err := a.getReflector(cmd.Context(), node)
			if err != nil {
				return err
			}
			if f == formatYAML || f == formatJSON {
				return a.writeMessage(f, m)
			}
			return a.writeReflector(m)
		},
	}
	a.bindNode(c, &node, "node to ask")
	bindOutput(c, &output, "table", formatYAML, formatJSON)
	return c
}

func (a *app) getReflector(ctx context.Context, node string) (*vrouterv1.GetReflectorResponse, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return c.nodes.GetReflector(ctx, &vrouterv1.GetReflectorRequest{Node: node})
}

func (a *app) reflectorPeersCommand() *cobra.Command {
	var node, output string
	var watch bool
	c := &cobra.Command{
		Use:     "peers",
		Aliases: []string{"peer"},
		Short:   "Show the BGP peers, with -o wide all that is counted of them",
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "table", formatWide, formatYAML, formatJSON)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			if watch {
				return a.watchPeers(cmd.Context(), c, node, f)
			}
			return a.reflectorPeers(cmd.Context(), c, node, f)
		},
	}
	a.bindNode(c, &node, "node to ask")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on showing peers whose state changes, until interrupted")
	bindOutput(c, &output, "table", formatWide, formatYAML, formatJSON)
	return c
}

func (a *app) reflectorPeers(ctx context.Context, c *client, node string, f format) error {
	s, err := c.nodes.GetStatus(ctx, &vrouterv1.GetStatusRequest{Node: node})
	if err != nil {
		return err
	}
	if f == formatYAML || f == formatJSON {
		return writeList(a, f, s.GetPeers())
	}
	if len(s.GetPeers()) == 0 {
		fmt.Fprintln(a.Err, "No peers found")
		return nil
	}
	t := a.newTable(f == formatWide, peerColumns(f == formatWide)...)
	for _, p := range s.GetPeers() {
		t.addCells(a.peerCells(p, f == formatWide)...)
	}
	return t.flush(a.Out)
}

func (a *app) reflectorRoutesCommand() *cobra.Command {
	var node, output string
	var watch bool
	filter := &vrouterv1.RouteFilter{}
	c := &cobra.Command{
		Use:   "routes [PREFIX]",
		Short: "Show what BGP knows: every path, whether it is used, and if not, why",
		Long: `Show what BGP knows: every path with the peer that gave it, the best ones marked
*, those that are not used with the reason. What the kernel holds is shown by
'vrouterctl routes'.

With PREFIX (an address counts as the prefix of itself) only what is inside it.`,
		Args: arguments(0, "PREFIX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := parseFormat(output, "table", formatWide, formatYAML, formatJSON)
			if err != nil {
				return err
			}
			if filter.Best && filter.Refused {
				return usagef("--best --refused: no path is both")
			}
			if len(args) > 0 {
				if filter.Prefix, err = parsePrefix(args[0]); err != nil {
					return err
				}
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			if watch {
				return a.watchRoutes(cmd.Context(), c, &vrouterv1.WatchRoutesRequest{Node: node, Filter: filter}, f)
			}
			return a.showRoutes(cmd.Context(), c, &vrouterv1.ListRoutesRequest{Node: node, Filter: filter}, f, ribColumns, ribRows)
		},
	}
	a.bindNode(c, &node, "node to ask")
	c.Flags().StringVar(&filter.Peer, "peer", "", "only what the peer of this address or name told")
	c.Flags().StringVar(&filter.Family, "family", "", "only IPv4 or IPv6")
	c.Flags().BoolVar(&filter.Best, "best", false, "only best paths, and prefixes of the node's own")
	c.Flags().BoolVar(&filter.Refused, "refused", false, "only paths that are not used")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on showing what changes, until interrupted")
	_ = c.RegisterFlagCompletionFunc("family", cobra.FixedCompletions([]string{"IPv4", "IPv6"}, cobra.ShellCompDirectiveNoFileComp))
	bindOutput(c, &output, "table", formatWide, formatYAML, formatJSON)
	return c
}

func (a *app) reflectorGroupCommand() *cobra.Command {
	var node, output string
	c := &cobra.Command{
		Use:     "group",
		Aliases: []string{"groups"},
		Short:   "Show who reflects for whom, and the update groups",
		Long: `Show the groups of reflectors (ReflectorGroup) with the nodes that reflect and how
many hosts were placed in each; then the update groups of the node: peers that
are sent the same bytes. With -o wide also how far each peer has got.`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "table", formatWide, formatYAML, formatJSON)
			if err != nil {
				return err
			}
			m, err := a.getReflector(cmd.Context(), node)
			if err != nil {
				return err
			}
			if f == formatYAML || f == formatJSON {
				return a.writeMessage(f, m)
			}
			if err := a.writePlacements(m.GetPlacements()); err != nil {
				return err
			}
			return a.writeGroups(m.GetGroups(), f == formatWide)
		},
	}
	a.bindNode(c, &node, "node to ask")
	bindOutput(c, &output, "table", formatWide, formatYAML, formatJSON)
	return c
}

func (a *app) reflectorDumpCommand() *cobra.Command {
	var node, file string
	c := &cobra.Command{
		Use:   "dump --mrt FILE",
		Short: "Write the whole table into a file of MRT (RFC 6396), for bgpdump and the like",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("--mrt FILE is needed; - is standard output")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.dump(cmd.Context(), c, node, file)
		},
	}
	a.bindNode(c, &node, "node to ask")
	c.Flags().StringVar(&file, "mrt", "", "`file` to write; - is standard output")
	_ = c.MarkFlagFilename("mrt") // only completion; the flag exists
	return c
}

// dump writes to a file that appears only when it is whole.
func (a *app) dump(ctx context.Context, c *client, node, path string) error {
	if path == "-" {
		_, err := a.receiveDump(ctx, c, node, a.Out)
		return err
	}
	file, err := os.Create(path + ".part")
	if err != nil {
		return usagef("--mrt: %w", err)
	}
	n, err := a.receiveDump(ctx, c, node, file)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("write %s: %w", path, closeErr)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error says more
		return err
	}
	a.line("%s written: %d bytes", path, n)
	return nil
}

// receiveDump copies the stream, and is how much it was.
func (a *app) receiveDump(ctx context.Context, c *client, node string, to io.Writer) (int, error) {
	written := 0
	err := readStream(ctx, c, func(ctx context.Context) (grpc.ServerStreamingClient[vrouterv1.DumpRoutesResponse], error) {
		return c.nodes.DumpRoutes(ctx, &vrouterv1.DumpRoutesRequest{Node: node})
	}, func(m *vrouterv1.DumpRoutesResponse) error {
		n, err := to.Write(m.GetData())
		if written += n; err != nil {
			return fmt.Errorf("write dump: %w", err)
		}
		return nil
	})
	return written, err
}
