package cli

import (
	"github.com/spf13/cobra"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) nodeDrainCommand() *cobra.Command {
	var message, after string
	c := &cobra.Command{
		Use:   "drain NODE",
		Short: "Have the peers of a node use other paths, then close its sessions",
		Long: `Have the peers of a node, host or reflector, use other paths where they have any
(RFC 8326), and some time later close its sessions with a message (RFC 9003).
It is kept in the Node, so that any node can be drained from any, and a restart
of its daemon does not undo it; 'node undrain' does, at any step.`,
		Args:              arguments(1, "NODE"),
		ValidArgsFunction: a.completeNodeArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			request := &vrouterv1.DrainRequest{Message: message, ShutdownAfter: after, Node: args[0]}
			if _, err := c.nodes.Drain(cmd.Context(), request); err != nil {
				return err
			}
			a.line("drain begins: see 'vrouterctl node status %s'", args[0])
			return nil
		},
	}
	c.Flags().StringVarP(&message, "message", "m", "", "text that peers are told when sessions are closed, up to 255 octets")
	c.Flags().StringVar(&after, "shutdown-after", "", "how long sessions are kept, such as 90s, or Never (default 60s)")
	return c
}

func (a *app) nodeUndrainCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "undrain NODE",
		Short:             "Take a drain back, however far it is",
		Args:              arguments(1, "NODE"),
		ValidArgsFunction: a.completeNodeArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			response, err := c.nodes.Undrain(cmd.Context(), &vrouterv1.UndrainRequest{Node: args[0]})
			if err != nil {
				return err
			}
			if response.GetDrained() {
				a.line("the drain was taken back")
			} else {
				a.line("it was not drained")
			}
			return nil
		},
	}
}
