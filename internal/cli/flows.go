package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) flowsCommand() *cobra.Command {
	var node, output string
	var follow bool
	c := &cobra.Command{
		Use:   "flows --follow",
		Short: "Show packets that policy denies or logs on a node, as they come",
		Long: `Show packets that policy denies, or that a rule with the action Log matches, on
a node, as they come, with the tier, the policy and the rule that decided. None
are kept from before: a host that nobody watches does not even look at them.
What came faster than it could be told is counted.`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "line", formatJSON)
			switch {
			case err != nil:
				return err
			case !follow:
				return usagef("--follow is needed: flows are told as they come, and none are kept")
			}
			return a.flows(cmd.Context(), f, node)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	a.bindNode(c, &node, "node to watch")
	bindOutput(c, &output, "line", formatJSON)
	return c
}

// flows prints until ctx ends, which is the usual end.
func (a *app) flows(ctx context.Context, f format, node string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	stream, err := c.nodes.WatchFlows(ctx, &vrouterv1.WatchFlowsRequest{Node: node})
	if err != nil {
		return err
	}
	missed := int64(0)
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return status.Error(codes.Unavailable, "the node has ended the stream")
		case err != nil:
			return err
		}
		if m.GetDropped() > missed {
			a.warn("", fmt.Sprintf("%d flows were missed", m.GetDropped()-missed))
			missed = m.GetDropped()
		}
		if err := a.showFlow(f, m.GetEvent()); err != nil {
			return err
		}
	}
}

// showFlow prints one flow; nil is none.
func (a *app) showFlow(f format, e *vrouterv1.FlowEvent) error {
	if e == nil {
		return nil
	}
	if f == formatJSON {
		data, err := messageJSON(e)
		if err != nil {
			return err
		}
		return a.write(append(data, '\n'))
	}
	a.line("%s %s %s %s %s %s -> %s: %s", e.GetTime().AsTime().In(a.Now().Location()).Format("15:04:05.000"), e.GetNode(),
		e.GetAction(), e.GetDirection(), flowProtocol(e), flowEnd(e.GetSource(), e.GetSourcePort(), e.GetInInterface()),
		flowEnd(e.GetDestination(), e.GetDestinationPort(), e.GetOutInterface()), flowReason(e))
	return nil
}

func flowProtocol(e *vrouterv1.FlowEvent) string {
	if p := e.GetProtocol(); p != "ICMP" && p != "ICMPv6" {
		return p
	}
	return fmt.Sprintf("%s %d/%d", e.GetProtocol(), e.GetIcmpType(), e.GetIcmpCode())
}

// flowEnd renders 10.0.0.1:80(eth0) with what there is of it.
func flowEnd(address string, port uint32, iface string) string {
	if port != 0 {
		address = net.JoinHostPort(address, fmt.Sprint(port))
	}
	if iface != "" {
		address += "(" + iface + ")"
	}
	return address
}

func flowReason(e *vrouterv1.FlowEvent) string {
	switch {
	case e.GetReason() != "":
		return e.GetReason()
	case e.GetTier() == "":
		return fmt.Sprintf("%s, rule %d", e.GetPolicy(), e.GetRule())
	}
	return fmt.Sprintf("%s, rule %d, tier %s", e.GetPolicy(), e.GetRule(), e.GetTier())
}
