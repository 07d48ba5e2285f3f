package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

type registerOptions struct {
	node, interfaceName, interfaceType string
	addresses, heldBy, profiles        []string
	allocate                           vrouterv1.AddressRequest
	labels, annotations                []string
	mac, containerID, pod              string
	serviceAccount                     string
	spoofs                             []string
	wait                               string
	output                             string
}

func (a *app) endpointRegisterCommand() *cobra.Command {
	var o registerOptions
	c := &cobra.Command{
		Use:   "register NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT --interface NAME [--ip ADDRESS...]",
		Short: "Register an endpoint, or state it anew",
		Long: `Register an endpoint, or state it anew: what is stated replaces all that was
stated before, and the same command again changes nothing. Another --node moves
the endpoint there.

Without --ip the endpoint keeps the addresses that it has; one that has none is
given one of each family that a pool has for it, or what --ipv4, --ipv6 and
--pool ask for.

With --wait the command returns once the endpoint has reached the stage:
"programmed", when its node's kernel holds the routes, or "advertised", when
they are announced over BGP. If --timeout passes before, the exit code is 5 and
the registration stays.`,
		Example: `  vrouterctl endpoint register default/docker/web-1/eth0 --interface veth12 \
      --ip 10.65.0.12 --profile projectcalico-default-allow --wait advertised`,
		Args: arguments(1, "NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := o.request(args[0])
			if err != nil {
				return err
			}
			f, err := parseFormat(o.output, "line", formatName, formatYAML, formatJSON)
			if err != nil {
				return err
			}
			return a.register(cmd.Context(), request, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.node, "node", "", "node that the endpoint lives on (default the one that takes the call)")
	flags.StringVar(&o.interfaceName, "interface", "", "host end of the workload's interface; it may come into being later")
	flags.StringVar(&o.interfaceType, "type", "", "type of the interface: veth, tap or physical (default veth)")
	flags.StringSliceVar(&o.addresses, "ip", nil, "`address` of the workload; may be repeated")
	flags.Int32Var(&o.allocate.Ipv4, "ipv4", 0, "how many IPv4 addresses it is to be given")
	flags.Int32Var(&o.allocate.Ipv6, "ipv6", 0, "how many IPv6 addresses it is to be given")
	flags.StringSliceVar(&o.allocate.Pools, "pool", nil, "`IPPool`, by name or CIDR, to give addresses of; may be repeated")
	flags.StringSliceVar(&o.heldBy, "held-by", nil, "`handle` that may hold an address of --ip already; may be repeated")
	flags.StringSliceVar(&o.profiles, "profile", nil, "`profile` that applies to the workload; may be repeated")
	flags.StringArrayVar(&o.labels, "label", nil, "label as `KEY=VALUE`; may be repeated")
	flags.StringArrayVar(&o.annotations, "annotation", nil, "annotation as `KEY=VALUE`; may be repeated")
	flags.StringVar(&o.mac, "mac", "", "MAC `address` of the workload's end")
	flags.StringVar(&o.containerID, "container-id", "", "`id` of the container")
	flags.StringVar(&o.pod, "pod", "", "`name` of the pod")
	flags.StringVar(&o.serviceAccount, "service-account", "", "`name` of the workload's service account")
	flags.StringSliceVar(&o.spoofs, "allow-spoofed-source", nil, "`prefix` that the workload may send from beside its addresses; may be repeated")
	flags.StringVar(&o.wait, "wait", "", "`stage` to wait for: programmed or advertised")
	bindOutput(c, &o.output, "line", formatName, formatYAML, formatJSON)
	_ = c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{"veth", "tap", "physical"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("wait", cobra.FixedCompletions([]string{"programmed", "advertised"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// request turns the flags into the call. What they say is for the server to
// judge.
func (o *registerOptions) request(name string) (*vrouterv1.RegisterRequest, error) {
	id, err := parseEndpointID(name)
	if err != nil {
		return nil, err
	}
	request := &vrouterv1.RegisterRequest{
		Id: id, Node: o.node, InterfaceName: o.interfaceName, InterfaceType: o.interfaceType,
		IpNetworks: o.addresses, Profiles: o.profiles, Mac: o.mac,
		ContainerId: o.containerID, Pod: o.pod, ServiceAccountName: o.serviceAccount,
		HeldBy: o.heldBy, AllowSpoofedSourcePrefixes: o.spoofs,
	}
	if o.allocate.Ipv4 != 0 || o.allocate.Ipv6 != 0 || len(o.allocate.Pools) > 0 {
		if len(o.addresses) > 0 {
			return nil, usagef("--pool, --ipv4 and --ipv6 ask for addresses, and go without --ip")
		}
		request.Allocate = &o.allocate
	}
	if request.Labels, err = pairs("--label", o.labels); err != nil {
		return nil, err
	}
	if request.Annotations, err = pairs("--annotation", o.annotations); err != nil {
		return nil, err
	}
	switch o.wait {
	case "":
	case "programmed":
		request.Wait = vrouterv1.Stage_STAGE_PROGRAMMED
	case "advertised":
		request.Wait = vrouterv1.Stage_STAGE_ADVERTISED
	default:
		return nil, usagef("--wait %q: want programmed or advertised", o.wait)
	}
	return request, nil
}

// pairs reads KEY=VALUE texts.
func pairs(flag string, texts []string) (map[string]string, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(texts))
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, usagef("%s %q: want KEY=VALUE", flag, text)
		}
		if _, twice := m[key]; twice {
			return nil, usagef("%s %q: the key is given twice", flag, key)
		}
		m[key] = value
	}
	return m, nil
}

func (a *app) register(ctx context.Context, request *vrouterv1.RegisterRequest, f format) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	name := endpointName(request.GetId())
	response, err := c.endpoints.Register(ctx, request)
	if status.Code(err) == codes.DeadlineExceeded && request.GetWait() != vrouterv1.Stage_STAGE_UNSPECIFIED {
		return a.stageMissed(ctx, c, request, err)
	}
	if err != nil {
		a.printError("", "endpoint "+name, err)
		return &reportedError{exitCode(err)}
	}
	for _, warning := range response.GetWarnings() {
		a.warn("endpoint "+name, warning)
	}
	if f != formatLine {
		return a.writeObjects(f, []proto.Message{response.GetEndpoint()}, true)
	}
	before := ""
	if !response.GetCreated() {
		before = " (existed before)"
	}
	given := ""
	if len(request.GetIpNetworks()) == 0 {
		given = " with " + strings.Join(response.GetEndpoint().GetSpec().GetIpNetworks(), ", ")
	}
	a.line("endpoint %s registered on node %s%s%s: %s", name,
		response.GetEndpoint().GetSpec().GetNode(), given, before, stageName(response.GetStage()))
	return nil
}

// stageMissed says how far an endpoint is whose stage was not reached in time.
// The answer of the server may have come too late to be read: then it is asked
// once more.
func (a *app) stageMissed(ctx context.Context, c *client, request *vrouterv1.RegisterRequest, err error) error {
	name, wanted := endpointName(request.GetId()), stageName(request.GetWait())
	if info := reason(err); info != nil && info.GetMetadata()["stage"] != "" {
		return &deadlineError{stageText(name, strings.ToLower(info.GetMetadata()["stage"]), wanted, info.GetMetadata()["problems"])}
	}
	const patience = 2 * time.Second // the server answered a moment ago
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now, getErr := c.endpoints.GetEndpoint(ctx, &vrouterv1.GetEndpointRequest{Id: request.GetId()})
	if getErr != nil {
		return &deadlineError{fmt.Sprintf("endpoint %s: %q was not reached within %s, and vrouterd does not say how far it is: %s",
			name, wanted, c.timeout, sentences(getErr)[0])}
	}
	problems := strings.Join(now.GetEndpoint().GetStatus().GetProblems(), "; ")
	return &deadlineError{stageText(name, stageName(now.GetStage()), wanted, problems)}
}

func stageText(name, reached, wanted, problems string) string {
	text := fmt.Sprintf("endpoint %s has reached %q, not %q, and stays registered", name, reached, wanted)
	if problems != "" {
		text += ": " + problems
	}
	return text
}
