package resource

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// The kinds of policy.
const (
	KindTier                      Kind = "Tier"
	KindNetworkPolicy             Kind = "NetworkPolicy"
	KindGlobalNetworkPolicy       Kind = "GlobalNetworkPolicy"
	KindStagedNetworkPolicy       Kind = "StagedNetworkPolicy"
	KindStagedGlobalNetworkPolicy Kind = "StagedGlobalNetworkPolicy"
	KindNetworkSet                Kind = "NetworkSet"
	KindGlobalNetworkSet          Kind = "GlobalNetworkSet"
	KindProfile                   Kind = "Profile"
	KindHostEndpoint              Kind = "HostEndpoint"
	KindServiceAccount            Kind = "ServiceAccount"
	KindService                   Kind = "Service"
)

// Limits of Calico's API on policies.
const (
	MaxRules        = 1024 // of a direction
	MaxRuleNetworks = 256  // of one list
	MaxRulePorts    = 50   // of one list
)

// AnyInterface is the interface of a HostEndpoint that stands for all of its node.
const AnyInterface = "*"

// NoOrder is the order of what states none: it comes last.
func NoOrder() float64 { return math.Inf(1) }

// Action is what becomes of a packet.
type Action uint8

// The actions of rules. A tier ends with ActionDeny or ActionPass.
const (
	ActionAllow Action = iota + 1
	ActionDeny
	ActionPass // leave the tier
	ActionLog  // and go on with the next rule
)

// String returns the name that the API has for the action.
func (a Action) String() string {
	switch a {
	case ActionAllow:
		return "Allow"
	case ActionDeny:
		return "Deny"
	case ActionPass:
		return "Pass"
	case ActionLog:
		return "Log"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Direction is a way of packets, seen from an endpoint.
type Direction uint8

// The directions.
const (
	DirectionIngress Direction = iota // to the endpoint
	DirectionEgress                   // from the endpoint
)

// String returns the name that the API has for the direction.
func (d Direction) String() string {
	if d == DirectionIngress {
		return "Ingress"
	}
	return "Egress"
}

// Tier is a group of policies.
type Tier struct {
	Meta
	Order         float64 // NoOrder: none
	DefaultAction Action  // ActionDeny or ActionPass
}

// StagedAction says what a staged policy stands for.
type StagedAction string

// The staged actions that are built.
const (
	StagedSet    StagedAction = "Set"    // the policy as it is written
	StagedDelete StagedAction = "Delete" // the enforced policy of the same name gone
)

// Policy is a policy of any of the four kinds; Meta.Kind says which. Its
// selectors are the effective ones: whatever namespace, namespaceSelector and
// service accounts say is in them, so that they are asked of what EndpointLabels
// and its like return, and of nothing else.
type Policy struct {
	Meta
	Tier     string
	Order    float64            // NoOrder: none
	Staged   StagedAction       // empty: it is enforced
	Selector *selector.Selector // the endpoints that it holds for
	// IngressType and EgressType tell which directions the policy decides.
	IngressType, EgressType bool
	Ingress, Egress         []Rule
	DoNotTrack              bool // its rules come before connection tracking
	PreDNAT                 bool // and before destinations are translated
	// ApplyOnForward: it holds for what is forwarded through a host endpoint,
	// too. All policies hold for what a workload sends and receives.
	ApplyOnForward bool
}

// Decides tells whether the policy decides the direction.
func (p *Policy) Decides(d Direction) bool {
	if d == DirectionIngress {
		return p.IngressType
	}
	return p.EgressType
}

// Rules returns the rules of a direction, in order.
func (p *Policy) Rules(d Direction) []Rule {
	if d == DirectionIngress {
		return p.Ingress
	}
	return p.Egress
}

// Profile is rules and labels for the endpoints that name it.
type Profile struct {
	Meta
	Ingress, Egress []Rule
	LabelsToApply   map[string]string
}

// Rules returns the rules of a direction, in order.
func (p *Profile) Rules(d Direction) []Rule {
	if d == DirectionIngress {
		return p.Ingress
	}
	return p.Egress
}

// Rule matches packets by all criteria that are given; what is zero, nil or
// empty is not. The values of a list are alternatives.
type Rule struct {
	Action              Action
	IPVersion           uint8 // 4 or 6
	Protocol            uint8 // of IANA
	NotProtocol         uint8
	ICMP, NotICMP       *ICMP // Protocol is 1 or 58, and IPVersion is that of it
	Source, Destination Entity
}

// ICMP is a type of ICMP or ICMPv6 message.
type ICMP struct {
	Type uint8
	Code *uint8 // nil: any
}

// Entity is one end of a packet. Nets that have both families, or another one
// than the rule, do not come to be.
type Entity struct {
	Nets, NotNets []netip.Prefix
	// Selector is the effective one; nil: any address, also one of no endpoint
	// and no set.
	Selector *selector.Selector
	// NotSelector holds for what it does not match, and for any other address.
	// There is none beside a Selector, which has it in itself.
	NotSelector     *selector.Selector
	Ports, NotPorts []Port
	Service         *ServiceRef
}

// Port is a range of ports, or the name of a port of the endpoints.
type Port struct {
	First, Last uint16 // both included; zero with a name
	Name        string
}

// String renders 80, 80:90 or the name.
func (p Port) String() string {
	switch {
	case p.Name != "":
		return p.Name
	case p.First == p.Last:
		return fmt.Sprint(p.First)
	}
	return fmt.Sprintf("%d:%d", p.First, p.Last)
}

// ServiceRef names a Service.
type ServiceRef struct{ Namespace, Name string }

// NetworkSet is a NetworkSet or a GlobalNetworkSet: labels over networks.
type NetworkSet struct {
	Meta
	Nets []netip.Prefix // masked, each once
}

// EndpointPort is a port that rules may name.
type EndpointPort struct {
	Name     string // may be empty for a workload's
	Protocol uint8
	Port     uint16
}

// HostEndpoint is an interface of a host.
type HostEndpoint struct {
	Meta
	Node      string
	Interface string       // or AnyInterface; empty: that which has one of Expected
	Expected  []netip.Addr // its addresses for the selectors of rules
	Profiles  []string
	Ports     []EndpointPort
}

// ServiceAccount is what workloads run as; its labels are all that it is.
type ServiceAccount struct{ Meta }

// Service is a name for backends.
type Service struct {
	Meta
	Addresses []netip.Addr
	Ports     []ServicePort
	Backends  []Backend
}

// ServicePort is a port that a Service is reached at.
type ServicePort struct {
	Name         string
	Protocol     uint8
	Port, Target uint16 // Target is on the backends
}

// Backend is one that serves.
type Backend struct {
	Address netip.Addr
	Node    string // empty: none of the cluster
	Ready   bool
	Ports   []EndpointPort // on Address
}
