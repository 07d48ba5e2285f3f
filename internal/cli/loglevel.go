package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// logLevels are those of vrouterd, the most talkative first.
var logLevels = [...]string{"trace", "debug", "info", "warn", "error"}

func (a *app) logLevelCommand() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:   "log-level [SUBSYSTEM] LEVEL",
		Short: "Change the log level of a node, or of one of its subsystems, until it restarts",
		Example: `  vrouterctl log-level bgp debug
  vrouterctl log-level info --node host1`,
		Args: arguments(1, "LEVEL", "LEVEL after SUBSYSTEM"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return logLevels[:], cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &vrouterv1.SetLogLevelRequest{Node: node, Level: strings.ToLower(args[len(args)-1])}
			if len(args) == 2 {
				request.Subsystem = args[0]
			}
			if !slices.Contains(logLevels[:], request.Level) {
				return usagef("LEVEL %q: want one of %s", args[len(args)-1], strings.Join(logLevels[:], ", "))
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			if _, err := c.nodes.SetLogLevel(cmd.Context(), request); err != nil {
				return err
			}
			a.line("log level of %s is %s until restart", or(request.Subsystem, "all subsystems"), request.Level)
			return nil
		},
	}
	a.bindNode(c, &node, "node to change")
	return c
}
