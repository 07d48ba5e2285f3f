package server

import (
	"context"
	"io"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Local is what the daemon of this node says and does about itself. Its methods
// may be called at once and end when their context does. An argument that it
// refuses is a *resource.Invalid.
type Local interface {
	// Status returns identity, readiness and peers.
	Status(ctx context.Context) (*vrouterv1.GetStatusResponse, error)

	// Routes yields RIB and FIB inside prefix, or all of them when prefix is the
	// zero Prefix, in portions of any size. It stops at the first error of yield
	// and returns it.
	Routes(ctx context.Context, prefix netip.Prefix, yield func([]*vrouterv1.Route) error) error

	// KernelRoutes yields what the kernel holds, or should, for a source (workload,
	// overlay, bgp or blackhole) inside prefix, as Routes does.
	KernelRoutes(ctx context.Context, source string, prefix netip.Prefix, yield func([]*vrouterv1.Route) error) error

	// Paths yields what BGP knows and the filter chooses, in portions as Routes
	// does. Here and in WatchRoutes the filter has been checked but for its peer.
	Paths(ctx context.Context, filter *vrouterv1.RouteFilter, yield func([]*vrouterv1.Route) error) error

	// WatchPeers and WatchRoutes send until ctx ends or send fails, and return
	// why they ended.
	WatchPeers(ctx context.Context, send func(*vrouterv1.WatchPeersResponse) error) error
	WatchRoutes(ctx context.Context, filter *vrouterv1.RouteFilter, send func(*vrouterv1.WatchRoutesResponse) error) error

	// Reflector returns what the BGP speaker is doing.
	Reflector(ctx context.Context) (*vrouterv1.GetReflectorResponse, error)

	// Dump writes the table as a file of MRT.
	Dump(ctx context.Context, w io.Writer) error

	// PolicyState returns what the kernel enforces of an endpoint or host endpoint
	// of this node.
	PolicyState(ctx context.Context, of *vrouterv1.GetPolicyStateRequest) (*vrouterv1.GetPolicyStateResponse, error)

	// PolicyCounters returns what the rules in force have counted: of all policies,
	// or of one, KIND/NAMESPACE/NAME.
	PolicyCounters(ctx context.Context, policy string) (*vrouterv1.ListPolicyCountersResponse, error)

	// WatchFlows sends packets that policy denied or logged until ctx ends or send
	// fails, and returns why. The first message has none: it listens.
	WatchFlows(ctx context.Context, send func(*vrouterv1.WatchFlowsResponse) error) error

	// Adopt accepts a foreign store; none to adopt is no error.
	Adopt(ctx context.Context) (*vrouterv1.AdoptClusterResponse, error)

	// SetLogLevel sets the level of a subsystem, or of all when it is empty. It
	// fails with *resource.Invalid for a subsystem that nobody logs for.
	SetLogLevel(subsystem, level string) error

	// WaitStage returns once revision of a local endpoint's spec, or a newer one,
	// has reached stage, with the stage it has. When ctx ends first it returns
	// the stage reached and the problems in the way, with ctx's error.
	WaitStage(ctx context.Context, id resource.EndpointID, revision int64,
		stage vrouterv1.Stage) (vrouterv1.Stage, []string, error)
}
