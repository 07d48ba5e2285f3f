package cli

import (
	"github.com/spf13/cobra"

	"github.com/projectvrouter/vrouter/internal/version"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) versionCommand() *cobra.Command {
	var clientOnly bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Show the version of vrouterctl and of vrouterd",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.line("vrouterctl %s", version.String())
			if clientOnly {
				return nil
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			s, err := c.nodes.GetStatus(cmd.Context(), &vrouterv1.GetStatusRequest{})
			if err != nil {
				return err
			}
			a.line("vrouterd   %s on node %s", s.GetVersion(), s.GetNode())
			return nil
		},
	}
	c.Flags().BoolVar(&clientOnly, "client", false, "the version of vrouterctl only")
	return c
}
