package cli

import (
	"github.com/spf13/cobra"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) ipamAssignBlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "assign-block NODE CIDR",
		Short: "Give a node a block of its own",
		Long: `Give a node a block of its own, such as its podCIDR: from then on it takes
addresses of that family from its assigned blocks alone, and no other node uses
them. The block is one of a pool, of the pool's block size, and nobody else's.`,
		Args:              arguments(2, "NODE", "CIDR"),
		ValidArgsFunction: a.completeNodeArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			_, err = c.addresses.AssignBlock(cmd.Context(), &vrouterv1.AssignBlockRequest{Node: args[0], Cidr: args[1]})
			if err != nil {
				return err
			}
			a.line("block %s assigned to node %s", args[1], args[0])
			if _, err := getObject(cmd.Context(), c, ref{kind: resource.KindNode, name: args[0]}); exitCode(err) == ExitNotFound {
				a.warn("", "there is no Node "+args[0]+": until there is, a controller takes the block back as that of a dead node")
			}
			return nil
		},
	}
}

func (a *app) ipamReleaseBlockCommand() *cobra.Command {
	var drain bool
	c := &cobra.Command{
		Use:   "release-block NODE CIDR",
		Short: "Take a block from a node",
		Long: `Take a block from a node, assigned or claimed, and remove it. One with addresses
in use is refused, unless it is drained: then it gives out no more, and goes with
its last address.`,
		Args:              arguments(2, "NODE", "CIDR"),
		ValidArgsFunction: a.completeBlockOfNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			in := &vrouterv1.ReleaseBlockRequest{Node: args[0], Cidr: args[1], Drain: drain}
			if _, err := c.addresses.ReleaseBlock(cmd.Context(), in); err != nil {
				return err
			}
			if drain {
				a.line("block %s of node %s gives out no more", args[1], args[0])
			} else {
				a.line("block %s taken from node %s", args[1], args[0])
			}
			return nil
		},
	}
	c.Flags().BoolVar(&drain, "drain", false, "let a block in use go with its last address")
	return c
}

// completeBlockOfNode completes the node, and then its blocks.
func (a *app) completeBlockOfNode(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeNodeArgument(cmd, args, typed)
	}
	var blocks []string
	for _, name := range a.names(cmd.Context(), resource.KindBlockAffinity, "") {
		if node, cidr, err := resource.ParseAffinityName(name); err == nil && node == args[0] {
			blocks = append(blocks, cidr.String())
		}
	}
	return blocks, cobra.ShellCompDirectiveNoFileComp
}
