package policytest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Probe is a packet that begins a connection, and what should become of it: a
// line of a file of probes.
type Probe struct {
	// From and To are NAMESPACE/WORKLOAD, host:NODE/INTERFACE or an address.
	From string `json:"from"`
	To   string `json:"to"`
	// Protocol is one of rules, by name or number.
	Protocol   protocol `json:"protocol"`
	Port       uint16   `json:"port,omitempty"`
	SourcePort uint16   `json:"sourcePort,omitempty"` // zero: any
	// PreDNATPort: the packet is sent to this port of the host, which
	// translates the destination to To and Port.
	PreDNATPort uint16 `json:"preDNATPort,omitempty"`
	ICMPType    *uint8 `json:"icmpType,omitempty"` // absent: an echo request
	ICMPCode    *uint8 `json:"icmpCode,omitempty"` // absent: 0
	// IPVersion is 4 or 6; absent: every one that both ends have.
	IPVersion uint8 `json:"ipVersion,omitempty"`
	// Interface is where the packet enters the host, if not where From is: as
	// one with a forged source does.
	Interface string `json:"interface,omitempty"`
	Expect    string `json:"expect"` // allow or deny
}

// protocol is the number of a protocol, which has a name or not.
type protocol uint8

// UnmarshalJSON reads a name or a number.
func (p *protocol) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	for n := 1; n < 256; n++ {
		if strings.EqualFold(text, resource.ProtocolName(uint8(n))) || text == strconv.Itoa(n) {
			*p = protocol(n)
			return nil
		}
	}
	return fmt.Errorf("%s is not a protocol", data)
}

// MarshalJSON writes the name of the protocol, or its number.
func (p protocol) MarshalJSON() ([]byte, error) {
	return json.Marshal(resource.ProtocolName(uint8(p)))
}

// String renders the probe as the line that it was.
func (p Probe) String() string {
	line, err := json.Marshal(p)
	if err != nil {
		panic(err) // nothing in it cannot be rendered
	}
	return string(line)
}

// ParseProbes reads one JSON object a line; empty lines are skipped.
func ParseProbes(data []byte) ([]Probe, error) {
	var list []Probe
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var p Probe
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&p); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if p.Expect != "allow" && p.Expect != "deny" {
			return nil, fmt.Errorf("line %d: expect is %q, neither allow nor deny", n, p.Expect)
		}
		list = append(list, p)
	}
	return list, lines.Err()
}
