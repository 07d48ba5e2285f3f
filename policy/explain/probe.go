package explain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/policy"
)

// Probe is the first packet of a connection: a line of a file of probes.
type Probe struct {
	// From and To are NAMESPACE/ENDPOINT, host:NODE/INTERFACE or an address.
	From string `json:"from"`
	To   string `json:"to"`
	// Protocol is one of rules, by name or number; absent: TCP.
	Protocol   Protocol `json:"protocol"`
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
	// Expect is allow or deny.
	Expect string `json:"expect,omitempty"`
}

// Protocol is the number of a protocol, which has a name or not.
type Protocol uint8

// DefaultProtocol is that of a probe that names none.
const DefaultProtocol Protocol = policy.ProtocolTCP

// ParseProtocol reads a name, in any case, or a number.
func ParseProtocol(text string) (Protocol, error) {
	for n := 1; n < 256; n++ {
		if strings.EqualFold(text, resource.ProtocolName(uint8(n))) || text == strconv.Itoa(n) {
			return Protocol(n), nil
		}
	}
	return 0, fmt.Errorf("%q is none of TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite, or a number", text)
}

// UnmarshalJSON reads a name or a number.
func (p *Protocol) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	n, err := ParseProtocol(text)
	if err != nil {
		return fmt.Errorf("protocol: %w", err)
	}
	*p = n
	return nil
}

// MarshalJSON writes the name of the protocol, or its number.
func (p Protocol) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// String returns the name of the protocol, or its number.
func (p Protocol) String() string { return resource.ProtocolName(uint8(p)) }

// HasPorts tells whether packets of the protocol have ports that rules know.
func (p Protocol) HasPorts() bool {
	switch p {
	case policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP:
		return true
	}
	return false
}

func (p Protocol) isICMP() bool { return p == policy.ProtocolICMP || p == policy.ProtocolICMPv6 }

// String renders the probe as a line.
func (p Probe) String() string {
	line, err := json.Marshal(p)
	if err != nil {
		panic(err) // nothing in it cannot be rendered
	}
	return string(line)
}

// Check returns every problem of a probe, each with its field. Expect may be
// absent.
func (p Probe) Check() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	hasPorts := p.Protocol.HasPorts()
	for _, end := range []struct{ field, text string }{{"from", p.From}, {"to", p.To}} {
		if err := checkEnd(end.text); err != nil {
			bad(end.field, "%v", err)
		}
	}
	for _, port := range []struct {
		field string
		value uint16
	}{{"port", p.Port}, {"sourcePort", p.SourcePort}, {"preDNATPort", p.PreDNATPort}} {
		if port.value != 0 && !hasPorts {
			bad(port.field, "%s has no ports", p.Protocol)
		}
	}
	if hasPorts && p.Port == 0 {
		bad("port", "is needed with %s", p.Protocol)
	}
	if p.ICMPType != nil && !p.Protocol.isICMP() {
		bad("icmpType", "%s has none", p.Protocol)
	}
	if p.ICMPCode != nil && p.ICMPType == nil {
		bad("icmpCode", "needs an icmpType")
	}
	switch {
	case p.IPVersion != 0 && p.IPVersion != 4 && p.IPVersion != 6:
		bad("ipVersion", "%d is neither 4 nor 6", p.IPVersion)
	case p.IPVersion == 4 && p.Protocol == policy.ProtocolICMPv6, p.IPVersion == 6 && p.Protocol == policy.ProtocolICMP:
		bad("ipVersion", "%d has no %s", p.IPVersion, p.Protocol)
	}
	if p.Expect != "" && p.Expect != "allow" && p.Expect != "deny" {
		bad("expect", "%q is neither allow nor deny", p.Expect)
	}
	return errors.Join(errs...)
}

// maxLine is the length of the longest line that is read.
const maxLine = 1 << 20

// ReadProbes reads one JSON object a line, each with an expectation; empty lines
// are skipped. It calls take with each good one and its line number. Every
// problem of every line is returned, by number and field.
func ReadProbes(r io.Reader, take func(line int, p Probe)) error {
	var errs []error
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 1
	for ; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		p, err := parseProbe(text)
		if err != nil {
			for problem := range strings.Lines(err.Error()) {
				errs = append(errs, fmt.Errorf("line %d: %s", n, strings.TrimSuffix(problem, "\n")))
			}
			continue
		}
		take(n, p)
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("line %d: %w", n, err))
	}
	return errors.Join(errs...)
}

// ParseProbes is ReadProbes for what is in memory.
func ParseProbes(data []byte) ([]Probe, error) {
	var list []Probe
	err := ReadProbes(bytes.NewReader(data), func(_ int, p Probe) { list = append(list, p) })
	if err != nil {
		return nil, err
	}
	return list, nil
}

// notOf says what a field does not take.
func notOf(kind reflect.Kind) string {
	switch kind {
	case reflect.Uint16:
		return "not a number from 0 to 65535"
	case reflect.Uint8:
		return "not a number from 0 to 255"
	}
	return "not a text"
}

func parseProbe(text []byte) (Probe, error) {
	p := Probe{Protocol: DefaultProtocol}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&p)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return p, fmt.Errorf("%s: %s is %s", kind.Field, strings.TrimPrefix(kind.Value, "number "), notOf(kind.Type.Kind()))
	case err != nil:
		return p, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	case decoder.More():
		return p, errors.New("more than one object")
	}
	err = p.Check()
	if p.Expect == "" {
		err = errors.Join(err, errors.New("expect: allow or deny is needed"))
	}
	return p, err
}
