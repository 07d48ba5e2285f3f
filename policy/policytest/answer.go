package policytest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// isAnswered tells whether an answer to a packet that got through has to get
// through, too, whatever policy says of it: connections are tracked by all
// hosts on the way of which none has untracked policy. UDP is enough.
func (r *Reference) isAnswered(j Journey) bool {
	return j.Packet.Protocol == policy.ProtocolUDP && behind(j.Packet.Source) == j.In &&
		!slices.ContainsFunc(r.policies, func(p *resource.Policy) bool { return p.DoNotTrack })
}

// answer sends answers to packets that got through, and says which are lost.
func (s *suite) answer(t *testing.T, journeys []Journey) (wrong []string) {
	t.Helper()
	var packets []outgoing
	first := s.number + 1
	for _, j := range journeys {
		p := j.Packet
		s.number++
		packets = append(packets, outgoing{in: j.Out, number: s.number, packet: policy.Packet{
			Source: p.Destination, Destination: p.Source, Protocol: p.Protocol,
			SourcePort: p.DestinationPort, DestinationPort: p.SourcePort,
		}})
	}
	seen, err := s.exchange(packets, first)
	if err != nil {
		t.Fatal(err)
	}
	for i, j := range journeys {
		if at, came := seen[i]; !came || at.at != j.In {
			wrong = append(wrong, fmt.Sprintf("%+v: the answer to what got through is lost (came: %t)", packets[i].packet, came))
		}
	}
	return wrong
}
