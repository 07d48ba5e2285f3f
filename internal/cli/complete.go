package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// patience is how long a press of the tab key may take.
const patience = 2 * time.Second

// completeObjects completes KIND, then NAME as vrouterd knows them.
func (a *app) completeObjects(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		var kinds []string
		for _, kind := range append(resource.Kinds(), resource.IPAMKinds()...) {
			kinds = append(kinds, strings.ToLower(string(kind)))
		}
		return kinds, cobra.ShellCompDirectiveNoFileComp
	}
	kind, ok := resource.ParseKind(args[0])
	if !ok {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	namespace := ""
	if flag := cmd.Flags().Lookup("namespace"); flag != nil {
		namespace = flag.Value.String()
	}
	return a.names(cmd.Context(), kind, namespace), cobra.ShellCompDirectiveNoFileComp
}

// completeNodes completes the name of a node.
func (a *app) completeNodes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd.Context(), resource.KindNode, ""), cobra.ShellCompDirectiveNoFileComp
}

// names lists the names of a kind; none when vrouterd does not answer at once.
func (a *app) names(ctx context.Context, kind resource.Kind, namespace string) []string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := a.connect()
	if err != nil {
		return nil
	}
	messages, err := a.list(ctx, c, kind, scope{namespace: namespace})
	if err != nil {
		return nil
	}
	var names []string
	for _, msg := range messages {
		names = append(names, refOf(msg).name)
	}
	return names
}

// completeNodeArgument completes the only argument, the name of a node.
func (a *app) completeNodeArgument(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeNodes(cmd, args, typed)
}

// completeEnds completes the two ends of a packet: endpoints, and interfaces of
// hosts that have host endpoints.
func (a *app) completeEnds(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ends []string
	for _, msg := range a.stored(cmd.Context(), resource.KindWorkloadEndpoint, resource.KindHostEndpoint) {
		switch m := msg.(type) {
		case *vrouterv1.WorkloadEndpoint:
			ends = append(ends, refOf(m).namespace+"/"+refOf(m).name)
		case *vrouterv1.HostEndpoint:
			if iface := m.GetSpec().GetInterfaceName(); iface != "" && iface != resource.AnyInterface {
				ends = append(ends, "host:"+m.GetSpec().GetNode()+"/"+iface)
			}
		}
	}
	return ends, cobra.ShellCompDirectiveNoFileComp
}

// stored lists all objects of some kinds; none when vrouterd does not answer at
// once.
func (a *app) stored(ctx context.Context, kinds ...resource.Kind) []proto.Message {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := a.connect()
	if err != nil {
		return nil
	}
	var all []proto.Message
	for _, kind := range kinds {
		if messages, err := a.list(ctx, c, kind, scope{}); err == nil {
			all = append(all, messages...)
		}
	}
	return all
}
