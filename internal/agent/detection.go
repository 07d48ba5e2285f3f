package agent

import (
	"fmt"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Detection is how the host's own address of a family was found.
type Detection struct {
	Family     string       // IPv4 or IPv6
	Method     string       // as the configuration has it
	Address    netip.Prefix // the zero value: none was found
	Interface  string
	Reason     string
	Problem    string // what is wrong with it, in words; empty: nothing
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

// detectionMessages renders detections, and says what is wrong with them, and
// where our Node has another address, by which the host is known.
func detectionMessages(all []Detection, own *resource.Node) (messages []*vrouterv1.AddressDetection, problems []string) {
	for _, d := range all {
		var has netip.Prefix
		if own != nil {
			has = map[string]netip.Prefix{"IPv4": own.IPv4, "IPv6": own.IPv6}[d.Family]
		}
		if has.IsValid() && d.Address.IsValid() && has != d.Address {
			d.Reason += fmt.Sprintf("; the Node has %s, which stays", has)
		}
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
		if d.Problem != "" {
			problems = append(problems, d.Problem)
		}
	}
	return messages, problems
}
