package resource

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/projectvrouter/vrouter/internal/selector"
)

// Kind names a stored kind, as it stands in manifests and in keys.
type Kind string

// The kinds that the store holds.
const (
	KindNode               Kind = "Node"
	KindWorkloadEndpoint   Kind = "WorkloadEndpoint"
	KindIPPool             Kind = "IPPool"
	KindBGPConfiguration   Kind = "BGPConfiguration"
	KindBGPPeer            Kind = "BGPPeer"
	KindClusterInformation Kind = "ClusterInformation"
)

// DefaultName is the name of the one BGPConfiguration that holds for every
// node, and of the one ClusterInformation.
const DefaultName = "default"

// DefaultASNumber is the AS of a node that neither the Node nor the default
// BGPConfiguration gives one (first of the private range, RFC 6996).
const DefaultASNumber = 64512

// ID identifies an object among those of its kind.
type ID struct {
	Kind      Kind
	Namespace string // empty for kinds without namespace
	Name      string
}

// String renders KIND/NAMESPACE/NAME, or KIND/NAME for a kind without namespace.
func (id ID) String() string {
	if id.Namespace == "" {
		return fmt.Sprintf("%s/%s", id.Kind, id.Name)
	}
	return fmt.Sprintf("%s/%s/%s", id.Kind, id.Namespace, id.Name)
}

// Meta is the checked form of an object's metadata.
type Meta struct {
	ID
	Labels   map[string]string
	UID      string
	Revision int64 // mod revision in the store; zero before it is stored
}

// Object is the checked form of any kind: immutable, with real types.
type Object interface {
	Metadata() *Meta
}

// Metadata returns the object's metadata.
func (m *Meta) Metadata() *Meta { return m }

// Node is a host or a reflector.
type Node struct {
	Meta
	ASNumber uint32       // zero: the default BGPConfiguration's
	IPv4     netip.Prefix // address with the length of its subnet, host bits kept; invalid: none
	IPv6     netip.Prefix
	// RouteReflectorClusterID makes the node a reflector for the iBGP peers
	// that carry another id or none (RFC 4456 §7); invalid: not a reflector.
	RouteReflectorClusterID netip.Addr
}

// EndpointID is the identity of a workload endpoint. The node is not part of
// it: an endpoint keeps its identity when it moves.
type EndpointID struct {
	Namespace    string
	Orchestrator string
	Workload     string
	Endpoint     string
}

// String renders NAMESPACE/ORCHESTRATOR/WORKLOAD/ENDPOINT.
func (id EndpointID) String() string {
	return fmt.Sprintf("%s/%s/%s/%s", id.Namespace, id.Orchestrator, id.Workload, id.Endpoint)
}

// InterfaceType says what the host end of a workload's interface is.
type InterfaceType string

// The types of interface that a workload may hang on.
const (
	InterfaceVeth     InterfaceType = "veth"
	InterfaceTap      InterfaceType = "tap"
	InterfacePhysical InterfaceType = "physical"
)

// WorkloadEndpoint is one interface of one workload.
type WorkloadEndpoint struct {
	Meta
	Endpoint      EndpointID
	Node          string
	Interface     string // host end
	InterfaceType InterfaceType
	Addresses     []netip.Addr // each is a /32 or /128 route on Node
	Profiles      []string
	MAC           string
	Generation    int64 // grows with every change of the spec
}

// EncapMode says when packets between hosts of a pool are encapsulated.
type EncapMode string

// The encapsulation modes of a pool.
const (
	EncapNever       EncapMode = "Never"
	EncapAlways      EncapMode = "Always"
	EncapCrossSubnet EncapMode = "CrossSubnet"
)

// IPPool is a range that workload addresses come from.
type IPPool struct {
	Meta
	CIDR              netip.Prefix
	BlockSize         int
	IPIPMode          EncapMode
	VXLANMode         EncapMode
	NATOutgoing       bool
	Disabled          bool // no new addresses; routes go on
	DisableBGPExport  bool
	NodeSelector      *selector.Selector
	NamespaceSelector *selector.Selector
}

// BGPConfiguration holds the BGP settings of the cluster (name "default") or
// of one node (name "node.NAME").
type BGPConfiguration struct {
	Meta
	NodeToNodeMesh bool
	ASNumber       uint32 // zero: not given
	ListenPort     uint16 // zero: not given
	LogLevel       string // hclog's name of the level; empty: not given
}

// BGPPeer states sessions between nodes and routers, or among nodes.
type BGPPeer struct {
	Meta
	Node          string             // the one node that it is for
	NodeSelector  *selector.Selector // or those that match; both empty: every node
	PeerIP        netip.Addr         // the other end
	PeerPort      uint16             // zero: 179
	PeerSelector  *selector.Selector // or every node that matches
	ASNumber      uint32             // of PeerIP
	ReverseManual bool               // the chosen nodes get no session back by themselves
	KeepaliveTime time.Duration      // zero: a third of the hold time
}

// ClusterInformation is the singleton that names the cluster.
type ClusterInformation struct {
	Meta
	ClusterGUID    string
	DatastoreReady bool
}
