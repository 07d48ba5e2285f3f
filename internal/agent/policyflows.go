package agent

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// FlowWatch tells of packets that policy denied or logged.
type FlowWatch interface {
	// Watch sends flows until ctx ends or send fails, and returns why. It calls
	// ready once it listens. With each flow it tells how many were missed before.
	Watch(ctx context.Context, ready func() error, send func(f policy.Flow, missed uint64) error) error
}

// WatchFlows sends packets that policy denied or logged, from now on.
func (a *Agent) WatchFlows(ctx context.Context, send func(*vrouterv1.WatchFlowsResponse) error) error {
	p := a.opts.Policing
	if p == nil || p.Watch == nil {
		return &resource.Invalid{Problems: []resource.Problem{{
			Path: "node", Reason: "no flows are told there: policy is off, or the kernel has no NFLOG (see the daemon's log)",
		}}}
	}
	names := &flowNames{table: p.Table}
	ready := func() error { return send(&vrouterv1.WatchFlowsResponse{}) }
	return p.Watch.Watch(ctx, ready, func(f policy.Flow, missed uint64) error {
		event := flowEvent(f)
		event.Node = a.opts.Identity.Name
		names.decided(f.Prefix, event)
		return send(&vrouterv1.WatchFlowsResponse{Event: event, Dropped: int64(missed)})
	})
}

func flowEvent(f policy.Flow) *vrouterv1.FlowEvent {
	p := f.Packet
	return &vrouterv1.FlowEvent{
		Time: timestamppb.New(f.Time), InInterface: f.In, OutInterface: f.Out,
		Direction: f.Prefix.Direction.String(), Action: f.Prefix.Action.String(), Rule: int32(f.Prefix.Rule),
		Protocol: resource.ProtocolName(p.Protocol), Source: p.Source.String(), Destination: p.Destination.String(),
		SourcePort: uint32(p.SourcePort), DestinationPort: uint32(p.DestinationPort),
		IcmpType: uint32(p.ICMPType), IcmpCode: uint32(p.ICMPCode), Length: uint32(f.Length),
	}
}

// namesFor is how long a subject that is not known is not looked for again.
const namesFor = time.Second

// flowNames finds policies and tiers by the subjects of prefixes, which may be
// hashes. It is of one watch.
type flowNames struct {
	table *policy.Table
	read  time.Time
	known map[string]decider
}

// decider is what a subject stands for.
type decider struct{ tier, policy string }

// decided says in the event what decided.
func (n *flowNames) decided(f policy.FlowPrefix, event *vrouterv1.FlowEvent) {
	if reason, ok := flowReasons()[f.Subject]; ok {
		event.Reason = reason
		return
	}
	d, ok := n.known[f.Subject]
	if !ok && time.Since(n.read) > namesFor {
		n.refresh()
		d, ok = n.known[f.Subject]
	}
	if !ok {
		event.Reason = fmt.Sprintf("%s, which is not in force any more", f.Subject)
		return
	}
	event.Tier, event.Policy = d.tier, d.policy
	if d.policy == "" {
		event.Reason = "end of tier " + d.tier
	}
}

func (n *flowNames) refresh() {
	n.read, n.known = time.Now(), make(map[string]decider)
	n.table.InForce(func(s *policy.State) {
		tiers := tiersOf(s)
		for id := range s.Policies {
			n.known[policy.FlowSubject(id)] = decider{tiers[id], id.String()}
		}
		for _, p := range s.Pipelines {
			for _, t := range p.Tiers {
				n.known[policy.FlowTier(t.Name)] = decider{tier: t.Name}
			}
		}
	})
}

// flowReasons are what decides where no policy does.
func flowReasons() map[string]string {
	return map[string]string{
		policy.ProfilesSubject:  "no policy and no profile allows it",
		policy.SpoofedSubject:   "the source address is not the workload's",
		policy.UnknownSubject:   "the interface is no endpoint's",
		policy.HostSubject:      "defaultEndpointToHostAction",
		policy.ProtectedSubject: "what the host keeps for itself and its peers",
	}
}
