package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) policyCountersCommand() *cobra.Command {
	var node, output string
	c := &cobra.Command{
		Use:   "counters [KIND/NAMESPACE/NAME]",
		Short: "Show how many packets and octets each rule has seen on a node",
		Long: `Show how many packets and octets each rule has seen on a node, over all of its
endpoints, since the rule is as it is. Established connections meet no rules.
Rules of staged policies have counted what they would do. With a policy or
profile only its rules.`,
		Example:           `  vrouterctl policy counters networkpolicy/shop/db --node host1`,
		Args:              arguments(0, "KIND/NAMESPACE/NAME"),
		ValidArgsFunction: a.completePolicies,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := parseFormat(output, "table", formatYAML, formatJSON)
			if err != nil {
				return err
			}
			client, err := a.connect()
			if err != nil {
				return err
			}
			request := &vrouterv1.ListPolicyCountersRequest{Node: node}
			if len(args) > 0 {
				request.Policy = args[0]
			}
			answer, err := client.nodes.ListPolicyCounters(cmd.Context(), request)
			if err != nil {
				return err
			}
			return a.showCounters(f, answer, request.Policy)
		},
	}
	a.bindNode(c, &node, "node to ask")
	bindOutput(c, &output, "table", formatYAML, formatJSON)
	return c
}

func (a *app) showCounters(f format, answer *vrouterv1.ListPolicyCountersResponse, asked string) error {
	if f == formatYAML || f == formatJSON {
		return a.writeMessage(f, answer)
	}
	if len(answer.GetPolicies()) == 0 {
		if asked != "" {
			fmt.Fprintln(a.Err, printable(asked), "is not in force")
		} else {
			fmt.Fprintln(a.Err, "No policy is in force")
		}
		return nil
	}
	t := a.newTable(false, "TIER", flexible+"POLICY", "DIRECTION", "RULE", "ACTION", "PACKETS", "OCTETS")
	for _, p := range answer.GetPolicies() {
		for _, r := range p.GetRules() {
			action := r.GetAction()
			if p.GetStaged() {
				action = "would " + action
			}
			t.add(p.GetTier(), p.GetPolicy(), r.GetDirection(), fmt.Sprint(r.GetRule()), action,
				fmt.Sprint(r.GetPackets()), fmt.Sprint(r.GetBytes()))
		}
	}
	return t.flush(a.Out)
}

// completePolicies completes the only argument, a policy or a profile.
func (a *app) completePolicies(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var policies []string
	for _, r := range a.stored(cmd.Context(), append(resource.PolicyKinds(), resource.KindProfile)...) {
		policies = append(policies, refOf(r).String())
	}
	return policies, cobra.ShellCompDirectiveNoFileComp
}
