package policy

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// FlowPrefix says, in the prefix of a packet that a dataplane sends to the flow
// group, what decided about the packet.
type FlowPrefix struct {
	Action    Action
	Direction Direction
	// Rule is Rule.Index, or negative when no rule decided.
	Rule int
	// Subject is the [FlowSubject] of the policy, or one of the words below.
	Subject string
}

// What decides where no policy does. The end of a tier is TierSubject and the
// tier's name, shortened like a policy's.
const (
	TierSubject      = "Tier/"
	ProfilesSubject  = "profiles"  // none of the profiles, or there is none
	SpoofedSubject   = "spoofed"   // a source address that is not the workload's
	UnknownSubject   = "unknown"   // an interface that is no endpoint's
	HostSubject      = "host"      // Settings.ToHost
	ProtectedSubject = "protected" // what the host keeps for itself and its peers
)

// maxFlowPrefix is the length of a prefix that every dataplane can carry;
// maxSubject leaves room for the rest.
const (
	maxFlowPrefix = 63
	maxSubject    = maxFlowPrefix - len("D i 1023 ")
)

// FlowSubject names a policy or a profile in a prefix: as its ID does, or by a
// hash of that where it is long. Who reads prefixes keeps the subjects of the
// policies there are.
func FlowSubject(id resource.ID) string { return shorten(id.String()) }

// FlowTier names a tier in a prefix.
func FlowTier(name string) string { return shorten(TierSubject + name) }

func shorten(s string) string {
	if len(s) <= maxSubject && !strings.ContainsAny(s, " \"\\") {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "#" + strings.ToLower(base32.HexEncoding.EncodeToString(sum[:])[:32])
}

// String renders the prefix, of at most 63 bytes.
func (f FlowPrefix) String() string {
	rule := "-"
	if f.Rule >= 0 {
		rule = strconv.Itoa(f.Rule)
	}
	direction := "i"
	if f.Direction == Egress {
		direction = "e"
	}
	return fmt.Sprintf("%c %s %s %s", f.Action.String()[0], direction, rule, f.Subject)
}

// ParseFlowPrefix reads back what String rendered.
func ParseFlowPrefix(s string) (FlowPrefix, error) {
	parts := strings.Split(s, " ")
	if len(parts) != 4 || len(s) > maxFlowPrefix || parts[3] == "" {
		return FlowPrefix{}, fmt.Errorf("flow prefix %q: not of four words", s)
	}
	f := FlowPrefix{Rule: -1, Subject: parts[3]}
	switch parts[0] {
	case "A":
		f.Action = Allow
	case "D":
		f.Action = Deny
	case "P":
		f.Action = Pass
	case "L":
		f.Action = Log
	default:
		return FlowPrefix{}, fmt.Errorf("flow prefix %q: no action is called %q", s, parts[0])
	}
	switch parts[1] {
	case "i":
	case "e":
		f.Direction = Egress
	default:
		return FlowPrefix{}, fmt.Errorf("flow prefix %q: no direction is called %q", s, parts[1])
	}
	if parts[2] != "-" {
		n, err := strconv.ParseUint(parts[2], 10, 16)
		if err != nil {
			return FlowPrefix{}, fmt.Errorf("flow prefix %q: %q is no rule", s, parts[2])
		}
		f.Rule = int(n)
	}
	return f, nil
}
