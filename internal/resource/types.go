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
	KindBGPPeerGroup       Kind = "BGPPeerGroup"
	KindBGPFilter          Kind = "BGPFilter"
	KindSecret             Kind = "Secret"
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
	Drain                   *NodeDrain   // nil: it is not drained
	Addresses               []netip.Addr // those of BGP first, then what it lists, each once
	Interfaces              []NodeInterface
}

// NodeInterface is an interface that a Node lists.
type NodeInterface struct {
	Name      string
	Addresses []netip.Addr
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
	Ports         []EndpointPort // that rules may name
	// ServiceAccount that the workload runs as; empty: none.
	ServiceAccount string
	Spoofs         []netip.Prefix // what it may send from beside Addresses
	Generation     int64          // grows with every change of the spec
}

// EncapMode says when packets between hosts of a pool are encapsulated.
type EncapMode string

// The encapsulation modes of a pool.
const (
	EncapNever       EncapMode = "Never"
	EncapAlways      EncapMode = "Always"
	EncapCrossSubnet EncapMode = "CrossSubnet"
)

// Advertise is what hosts tell peers of a pool.
type Advertise string

// The values of Advertise.
const (
	AdvertiseEndpoints Advertise = "Endpoints" // each address of an endpoint
	AdvertiseBlocks    Advertise = "Blocks"    // the blocks of the host, and addresses outside them
	AdvertiseBoth      Advertise = "Both"
)

// IPPool is a range that workload addresses come from.
type IPPool struct {
	Meta
	CIDR             netip.Prefix
	BlockSize        int
	IPIPMode         EncapMode
	VXLANMode        EncapMode
	NATOutgoing      bool
	Disabled         bool // no new addresses; routes go on
	DisableBGPExport bool
	// NodeSelector and NamespaceSelector choose who gets addresses of the pool
	// without naming it.
	NodeSelector      *selector.Selector
	NamespaceSelector *selector.Selector
	Uses              []Use
	Manual            bool // addresses go to who names the pool
	Advertise         Advertise
}

// BGPConfiguration holds the BGP settings of the cluster (name "default") or
// of one node (name "node.NAME").
type BGPConfiguration struct {
	Meta
	NodeToNodeMesh bool
	ASNumber       uint32 // zero: not given
	ListenPort     uint16 // zero: not given
	LogLevel       string // hclog's name of the level; empty: not given

	// Sessions holds for all sessions that do not say otherwise, those of the
	// mesh included.
	Sessions SessionSettings
	// MeshPassword and MeshRestartTime are of the mesh alone.
	MeshPassword    *SecretRef
	MeshRestartTime time.Duration // zero: not given

	// MaxPaths is how many equally good paths are used at once; zero: not given.
	MaxPaths int
	// Communities go with our routes inside a prefix, of all that hold a route.
	Communities []PrefixCommunities
}

// PrefixCommunities are communities for the routes inside a prefix, each
// standard ("AA:NN" as one number) or large.
type PrefixCommunities struct {
	Prefix   netip.Prefix
	Standard []uint32
	Large    [][3]uint32
}

// BGPPeer states sessions between nodes and routers, or among nodes.
type BGPPeer struct {
	Meta
	Node          string             // the one node that it is for
	NodeSelector  *selector.Selector // or those that match; both empty: every node
	PeerIP        netip.Addr         // the other end
	PeerPort      uint16             // zero: 179
	PeerRange     netip.Prefix       // or whoever connects from here: dynamic neighbours
	RangeLimit    int                // how many of them at once; zero: not given
	PeerSelector  *selector.Selector // or every node that matches
	ASNumber      uint32             // of PeerIP or PeerRange; zero with AnyExternalAS
	AnyExternalAS bool               // the other end has any AS but ours
	ReverseManual bool               // the chosen nodes get no session back by themselves
	Group         string             // BGPPeerGroup that holds where Settings say nothing
	Settings      SessionSettings

	Shutdown        bool // the session is kept down
	ShutdownMessage string
}

// BGPPeerGroup is settings that BGPPeers have in common.
type BGPPeerGroup struct {
	Meta
	Settings SessionSettings
}

// SessionSettings are settings of sessions that can be inherited: those of a
// BGPPeer count before those of its group, then come the BGPConfiguration of
// the node, that of the cluster, and the configuration file. Nil says nothing.
type SessionSettings struct {
	Filters         *[]string // names of BGPFilters in order; an empty list: none
	Password        *SecretRef
	SourceAddress   *SourceAddress
	LocalASNumber   *uint32
	AllowedLocalAS  *int // how often our AS may be in an AS_PATH
	NextHopMode     *NextHopMode
	Multihop        *uint8 // hops to an external peer; 1: on the link
	TTLSecurity     *uint8 // hops at most (RFC 5082); zero: off
	HoldTime        *time.Duration
	KeepaliveTime   *time.Duration
	ConnectRetry    *time.Duration
	RestartTime     *time.Duration
	LongLived       *time.Duration // longLivedRestartTime; zero: off
	AddPathSend     *int           // paths of a prefix; -1: all; 1: off
	AddPathReceive  *bool
	MaxPrefixes     *MaxPrefixes
	Families        *[]string // of "IPv4", "IPv6"
	ExtendedNextHop *bool
	Role            *string // of RFC 9234: Provider, RouteServer, RouteServerClient, Customer, Peer, or empty
	StrictRole      *bool
	AnyFirstAS      *bool // do not check that an external peer's paths begin with its AS
	Blackhole       *bool // honour BLACKHOLE (RFC 7999)
	ReflectForeign  *bool // reflect what lies outside the pools without a filter that says so
}

// SourceAddress is what sessions are dialled from.
type SourceAddress struct {
	None bool       // the kernel's choice
	Addr netip.Addr // this address; neither: the node's
}

// NextHopMode says which next hop a peer is told.
type NextHopMode string

// The modes of Calico's API.
const (
	NextHopAuto NextHopMode = "Auto"
	NextHopSelf NextHopMode = "Self"
	NextHopKeep NextHopMode = "Keep"
)

// MaxPrefixes bounds what a peer may tell, for each family.
type MaxPrefixes struct {
	Limit       int
	Warning     int           // percent; zero: not given
	RestartTime time.Duration // zero: the session stays down
	WarnOnly    bool
}

// SecretRef refers to a secret: a key of a Secret, or a file on the host.
type SecretRef struct {
	Name, Key string // of a Secret
	File      string // name below the host's directory of secrets, in place of a Secret
	Optional  bool   // without it the session has no password; else it is not made
}

// Secret is values by key. The API takes them and never gives them back.
type Secret struct {
	Meta
	Data map[string]SecretValue
}

// SecretValue does not show itself when printed.
type SecretValue []byte

// String says nothing of the value.
func (SecretValue) String() string { return "hidden" }

// GoString is String, for %#v.
func (v SecretValue) GoString() string { return v.String() }

// MarshalText is String, for loggers that encode.
func (v SecretValue) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// BGPFilter is rules for what sessions that name it import and export, each
// list in order.
type BGPFilter struct {
	Meta
	ImportV4, ImportV6, ExportV4, ExportV6 []FilterRule
}

// FilterRule is a rule of a BGPFilter. Criteria that are zero always hold.
type FilterRule struct {
	Prefix        netip.Prefix
	MatchOperator string // Equal, NotEqual, In, NotIn; with Prefix only
	MinLength     *int   // of the prefix; nil: that of Prefix
	MaxLength     *int   // nil: 32 or 128
	RemotePeers   bool   // source: RemotePeers
	Interface     string // glob
	PeerType      string // eBGP, iBGP
	Communities   []CommunityValue
	ASPath        []uint32 // beginning of the AS_PATH
	Priority      *int     // of the route
	Accept        bool     // else Reject

	AddCommunities []CommunityValue
	Prepend        []uint32
	SetPriority    *int
}

// CommunityValue is a standard or a large community.
type CommunityValue struct {
	Large bool
	Value [3]uint32 // Value[0] alone for a standard one
}

// ClusterInformation is the singleton that names the cluster. What it says is
// for people, but for the lock ([Unlocked]).
type ClusterInformation struct{ Meta }
