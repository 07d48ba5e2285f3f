package agent

import (
	"fmt"
	"net/netip"

	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Detection is how the host's own address of a family was found.
type Detection struct {
	Family     string       // IPv4 or IPv6
	Method     string       // as the configuration has it
	Address    netip.Prefix // the zero value: none was found
	Interface  string
	Reason     string
	Changed    string // what would be found now; empty: the same
	Candidates []DetectionCandidate
}

// DetectionCandidate is an address that was considered.
type DetectionCandidate struct {
	Interface string
	Prefix    netip.Prefix
	Chosen    bool
	Reason    string
}

// detections returns what was found; nothing where the configuration states
// what the host is known by.
func (a *Agent) detections() []Detection {
	if a.opts.Detections == nil {
		return nil
	}
	return a.opts.Detections()
}

// detectionMessages renders detections. Of their changes problems tell.
func detectionMessages(all []Detection) (messages []*vrouterv1.AddressDetection, problems []string) {
	for _, d := range all {
		m := &vrouterv1.AddressDetection{Family: d.Family, Method: d.Method, Interface: d.Interface, Reason: d.Reason}
		if d.Address.IsValid() {
			m.Address = d.Address.String()
		}
		for _, c := range d.Candidates {
			m.Candidates = append(m.Candidates, &vrouterv1.AddressCandidate{
				Interface: c.Interface, Address: c.Prefix.String(), Chosen: c.Chosen, Reason: c.Reason,
			})
		}
		messages = append(messages, m)
		if d.Changed != "" {
			problems = append(problems, fmt.Sprintf("detected %s address %s: %s", d.Family, m.GetAddress(), d.Changed))
		}
	}
	return messages, problems
}
