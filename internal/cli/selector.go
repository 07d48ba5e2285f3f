package cli

import (
	"github.com/spf13/cobra"

	"github.com/projectvrouter/vrouter/internal/selector"
)

func (a *app) selectorCommand() *cobra.Command {
	return group("selector", "Work with the selectors of policies and pools", a.selectorEvalCommand())
}

func (a *app) selectorEvalCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "eval EXPR [KEY=VALUE...]",
		Short: "Tell whether an object with these labels is selected",
		Long: `Tell whether an object with these labels is selected.

It prints "match" and exits with 0, or "no match" and exits with 1; an
expression or a label that cannot be read exits with 2. No vrouterd is asked.
Labels that an object inherits are written as policies see them, such as
pcns.team=shop for a label of its namespace.`,
		Example: `  vrouterctl selector eval 'role == "web" && !has(quarantine)' role=web`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("EXPR is needed")
			}
			sel, err := selector.Parse(args[0])
			if err != nil {
				return usagef("EXPR %q: %w", args[0], err)
			}
			labels, err := pairs("label", args[1:])
			if err != nil {
				return err
			}
			if !sel.Matches(labels) {
				a.line("no match")
				return &reportedError{ExitFailed}
			}
			a.line("match")
			return nil
		},
	}
}
