package agent

import (
	"encoding/json"
	"net/netip"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/version"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Identity is what the host says of itself: what stands in its configuration
// file, which it restores at every start, and what was detected, which only
// fills what the API leaves open.
type Identity struct {
	Name       string
	Role       string     // RoleAgent or RoleReflector
	HostID     string     // made once per host, kept on its disk
	BootID     string     // made at every start of the daemon
	APIAddress string     // where other nodes may call; empty: nowhere
	Configured NodeFields // from the configuration file
	Detected   NodeFields // from the host's interfaces
	// HasAddress says whether an address is one of this host's.
	HasAddress func(netip.Addr) bool
}

// NodeFields are the fields of a Node that a host may state itself.
type NodeFields struct {
	IPv4, IPv6 netip.Prefix
	ASNumber   uint32
	ClusterID  netip.Addr
	Labels     map[string]string
}

// The roles of a daemon.
const (
	RoleAgent     = "agent"
	RoleReflector = "reflector"
)

// Live is the value of a daemon's key under a lease.
type Live struct {
	APIAddress string `json:"apiAddress,omitempty"`
	Version    string `json:"version"`
	HostID     string `json:"hostID"`
	BootID     string `json:"bootID"`
}

// live is the value of the daemon's key.
func (id Identity) live() ([]byte, error) {
	return json.Marshal(Live{APIAddress: id.APIAddress, Version: version.String(), HostID: id.HostID, BootID: id.BootID})
}

// SetIdentity says what the host says of itself from now on, because an address
// was detected that was not there at the start. Name, role and host are what
// they were.
func (a *Agent) SetIdentity(id Identity) {
	id = id.withClusterID()
	n := a.node
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next = &id
	signal(n.identified)
}

// identify takes over what SetIdentity said.
func (n *node) identify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		n.id, n.next = *n.next, nil
	}
}

// own is what the configuration states, filled with what was detected.
func (id Identity) own() NodeFields {
	own := id.Configured
	if !own.IPv4.IsValid() {
		own.IPv4 = id.Detected.IPv4
	}
	if !own.IPv6.IsValid() {
		own.IPv6 = id.Detected.IPv6
	}
	if !own.ClusterID.IsValid() {
		own.ClusterID = id.Detected.ClusterID
	}
	return own
}

// withClusterID gives a reflector that states no cluster id its router id for
// one (RFC 4456 §7): without any it would reflect nothing.
func (id Identity) withClusterID() Identity {
	if id.Role == RoleReflector && !id.Configured.ClusterID.IsValid() {
		id.Detected.ClusterID = bgp.RouterID(id.Name, id.own().IPv4)
	}
	return id
}

// fill states what the host says of itself in its Node.
func (id Identity) fill(object *vrouterv1.Node) {
	if object.Spec == nil {
		object.Spec = &vrouterv1.NodeSpec{}
	}
	if object.Spec.Bgp == nil {
		object.Spec.Bgp = &vrouterv1.NodeBGPSpec{}
	}
	own := object.Spec.Bgp
	own.Ipv4Address = id.address(own.Ipv4Address, id.Configured.IPv4, id.Detected.IPv4)
	own.Ipv6Address = id.address(own.Ipv6Address, id.Configured.IPv6, id.Detected.IPv6)
	if as := id.Configured.ASNumber; as != 0 {
		own.AsNumber = structpb.NewNumberValue(float64(as))
	}
	switch {
	case id.Configured.ClusterID.IsValid():
		own.RouteReflectorClusterId = proto.String(id.Configured.ClusterID.String())
	case id.Detected.ClusterID.IsValid() && own.GetRouteReflectorClusterId() == "":
		own.RouteReflectorClusterId = proto.String(id.Detected.ClusterID.String())
	}
	for key, value := range id.Configured.Labels {
		if object.Metadata.Labels == nil {
			object.Metadata.Labels = make(map[string]string)
		}
		object.Metadata.Labels[key] = value
	}
}

// address chooses between what the configuration states, what stands in the
// Node and was given by the API, and what was detected. An address in the Node
// that this host no longer has was detected once, and gives way.
func (id Identity) address(stored *string, configured, detected netip.Prefix) *string {
	if configured.IsValid() {
		return proto.String(configured.String())
	}
	if stored != nil {
		p, err := netip.ParsePrefix(*stored)
		if err != nil || !detected.IsValid() || id.HasAddress == nil || id.HasAddress(p.Addr()) {
			return stored
		}
	}
	if detected.IsValid() {
		return proto.String(detected.String())
	}
	return stored
}
