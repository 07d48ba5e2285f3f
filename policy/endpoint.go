package policy

import (
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// Endpoint is a workload endpoint of this host. An interface that belongs to no
// endpoint, or to several, passes nothing: several are each told without
// addresses and with pipelines that deny everything.
type Endpoint struct {
	ID        resource.EndpointID
	Revision  int64 // of the stored endpoint
	Interface string
	// Addresses are its own; Spoofs are what else it may send from.
	Addresses []netip.Addr
	Spoofs    []netip.Prefix
	// Ingress and Egress are IDs of pipelines with End Deny.
	Ingress, Egress string
}

// AnyInterface is the interface of a host endpoint that holds for all
// interfaces of the host without a host endpoint of their own, lo excepted.
const AnyInterface = resource.AnyInterface

// HostEndpoint is policy for an interface of the host itself. The IDs are of
// pipelines; an empty one says nothing: the packet goes on.
type HostEndpoint struct {
	ID        resource.ID
	Revision  int64
	Interface string // or AnyInterface
	// Normal is for what the host itself sends and receives, with End Deny,
	// and never empty.
	Normal Pair
	// Forward is for what is routed through the host, by policies that apply
	// on forward, with End Pass: what leaves the last tier goes on, and meets
	// no profiles. AnyInterface covers the interfaces of workloads, too.
	Forward Pair
	// Untracked is for all packets, before connection tracking, with End Pass:
	// what is allowed here is not tracked, and meets no other policy of host
	// endpoints in this direction.
	Untracked Pair
	// PreDNAT is an ingress pipeline with End Pass, before destinations are
	// translated. What is allowed here meets no other ingress policy of host
	// endpoints. AnyInterface covers the interfaces of workloads, too.
	PreDNAT string
}

// Pair is the IDs of two pipelines.
type Pair struct{ Ingress, Egress string }
