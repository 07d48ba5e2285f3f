package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) nodeCommand() *cobra.Command {
	c := group("node", "Show what a node does, or drain it", a.nodeStatusCommand(), a.nodeListCommand(), a.nodeDrainCommand(), a.nodeUndrainCommand())
	c.Aliases = []string{"nodes"}
	return c
}

func (a *app) nodeListCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the nodes, as 'get nodes' does",
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "table", formatWide, formatYAML, formatJSON, formatName)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.getKinds(cmd.Context(), c, []resource.Kind{resource.KindNode}, scope{}, f)
		},
	}
	bindOutput(c, &output, "table", formatWide, formatYAML, formatJSON, formatName)
	return c
}

func (a *app) nodeStatusCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "status [NODE]",
		Short: "Show readiness and BGP peers of a node",
		Long: `Show readiness and BGP peers of a node, by default of the one that takes the
call. With -o wide also prefixes in and out (by family: received/accepted/advertised),
negotiated timers and capabilities, for how long routes are kept without a
session (graceful restart, +long-lived), filters, add-path, and the last error of
each session.`,
		Args:              arguments(0, "NODE"),
		ValidArgsFunction: a.completeNodeArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := parseFormat(output, "table", formatWide, formatYAML, formatJSON)
			if err != nil {
				return err
			}
			node := ""
			if len(args) > 0 {
				node = args[0]
			}
			return a.nodeStatus(cmd.Context(), node, f)
		},
	}
	bindOutput(c, &output, "table", formatWide, formatYAML, formatJSON)
	return c
}

func (a *app) nodeStatus(ctx context.Context, node string, f format) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	s, err := c.nodes.GetStatus(ctx, &vrouterv1.GetStatusRequest{Node: node})
	if err != nil {
		return err
	}
	if f == formatYAML || f == formatJSON {
		return a.writeMessage(f, s)
	}
	return a.writeStatus(s, f == formatWide)
}
