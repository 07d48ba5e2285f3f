package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"

	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// Limits of asking hosts for their routes.
const (
	routesTime = 30 * time.Second // for one host; one that hangs holds up no check
	routesHops = 16               // hosts that are asked at once
	// routesSettle is the time between two looks at a host with which something
	// seems to be wrong: what is registered or goes just then is in its kernel,
	// or out of it, within milliseconds.
	routesSettle = time.Second
)

// Check compares all that is stored of addresses, and if asked also what the
// kernels of hosts hold.
func (s *addresses) Check(ctx context.Context, in *vrouterv1.CheckRequest) (*vrouterv1.CheckResponse, error) {
	env, err := ipam.Stored{Store: s.writer.store}.Env(ctx)
	if err != nil {
		return nil, err
	}
	contents, err := ipam.ReadContents(ctx, s.writer.store)
	if err != nil {
		return nil, err
	}
	report := contents.Check(env)
	out := &vrouterv1.CheckResponse{Revision: report.Revision, Pools: usage(report)}
	if in.GetKernel() {
		k := &kernelCheck{addresses: s}
		found, err := k.run(ctx, contents)
		if err != nil {
			return nil, err
		}
		report.Problems, out.Nodes = append(report.Problems, found...), k.nodes
	}
	for _, p := range report.Problems {
		out.Problems = append(out.Problems, &vrouterv1.Finding{Kind: string(p.Kind), Subject: p.Subject, Detail: p.Detail})
	}
	for _, l := range report.Leaks {
		out.Leaks = append(out.Leaks, &vrouterv1.Leak{Reason: l.Reason, Release: &vrouterv1.AddressRelease{
			Address: l.Address.String(), Handle: l.Handle, Sequence: l.Sequence}})
	}
	return out, nil
}

// kernelCheck compares what is stored with the routes of hosts.
type kernelCheck struct {
	*addresses
	nodes []*vrouterv1.NodeCheck // in order of names
}

// run looks at all hosts, and once more at those with which something seems to
// be wrong: only what is found again is a fault. Nothing stands still meanwhile.
func (k *kernelCheck) run(ctx context.Context, contents *ipam.Contents) ([]ipam.Finding, error) {
	endpoints, names, err := k.placed(ctx)
	if err != nil {
		return nil, err
	}
	routes, err := k.ask(ctx, names, func(n *vrouterv1.NodeCheck) { k.nodes = append(k.nodes, n) })
	if err != nil {
		return nil, err
	}
	first := contents.CheckRoutes(endpoints, routes)
	if len(first) == 0 {
		return nil, nil
	}
	timer := time.NewTimer(routesSettle)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
	}
	if contents, err = ipam.ReadContents(ctx, k.writer.store); err != nil {
		return nil, err
	}
	if endpoints, _, err = k.placed(ctx); err != nil {
		return nil, err
	}
	if routes, err = k.ask(ctx, slices.Sorted(maps.Keys(routes)), func(*vrouterv1.NodeCheck) {}); err != nil {
		return nil, err
	}
	second := contents.CheckRoutes(endpoints, routes)
	return slices.DeleteFunc(second, func(f ipam.Finding) bool {
		return !slices.ContainsFunc(first, func(was ipam.Finding) bool { return was.Kind == f.Kind && was.Subject == f.Subject })
	}), nil
}

// placed reads which endpoint has which address, and on which node, and the
// names of all nodes, those that only endpoints name among them.
func (k *kernelCheck) placed(ctx context.Context) (map[netip.Addr]ipam.Placed, []string, error) {
	endpoints, names := make(map[netip.Addr]ipam.Placed), make(map[string]bool)
	err := k.each(ctx, resource.KindNode, func(kv store.KV) {
		if _, _, name, err := store.ParseResourceKey(kv.Key); err == nil {
			names[name] = true
		}
	})
	if err != nil {
		return nil, nil, err
	}
	err = k.each(ctx, resource.KindWorkloadEndpoint, func(kv store.KV) {
		msg, err := resource.Decode(resource.KindWorkloadEndpoint, kv.Value, kv.ModRevision)
		if err != nil {
			return // every agent complains of it
		}
		object, err := resource.Check(msg)
		if err != nil {
			return
		}
		e := object.(*resource.WorkloadEndpoint)
		names[e.Node] = true
		for _, a := range e.Addresses {
			endpoints[a] = ipam.Placed{Key: kv.Key, Node: e.Node}
		}
	})
	return endpoints, slices.Sorted(maps.Keys(names)), err
}

// each reads all objects of a kind.
func (k *kernelCheck) each(ctx context.Context, kind resource.Kind, object func(store.KV)) error {
	if _, err := store.Scan(ctx, k.writer.store, store.KindPrefix(string(kind)), 0, object); err != nil {
		return fmt.Errorf("read all of kind %s: %w", kind, err)
	}
	return nil
}

// ask asks nodes for their routes to workloads, and tells of each what came of
// it. Nodes that did not answer are not in what it returns.
func (k *kernelCheck) ask(ctx context.Context, names []string, tell func(*vrouterv1.NodeCheck)) (map[string]map[netip.Addr]ipam.NodeRoute, error) {
	var mu sync.Mutex
	all := make(map[string]map[netip.Addr]ipam.NodeRoute)
	told := make([]*vrouterv1.NodeCheck, len(names))
	var g errgroup.Group
	g.SetLimit(routesHops)
	for i, name := range names {
		g.Go(func() error {
			told[i] = &vrouterv1.NodeCheck{Node: name}
			routes, err := k.addresses.nodes.workloadRoutes(ctx, name)
			if err != nil {
				told[i].Reason = status.Convert(err).Message()
				return nil
			}
			told[i].Checked = true
			for _, r := range routes {
				if r.Programmed {
					told[i].Routes++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all[name] = routes
			return nil
		})
	}
	_ = g.Wait() // no call fails: what went wrong is told of its node
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	for _, n := range told {
		tell(n)
	}
	return all, nil
}

// workloadRoutes asks a node for its routes to local workloads.
func (s *nodes) workloadRoutes(ctx context.Context, node string) (map[netip.Addr]ipam.NodeRoute, error) {
	ctx, cancel := context.WithTimeout(ctx, routesTime)
	defer cancel()
	const source = "workload"
	routes := make(map[netip.Addr]ipam.NodeRoute)
	take := func(all []*vrouterv1.Route) {
		for _, r := range all {
			if p, err := netip.ParsePrefix(r.GetPrefix()); err == nil && p.IsSingleIP() && r.GetSource() == source {
				routes[p.Addr()] = ipam.NodeRoute{Programmed: r.GetProgrammed(), Problem: r.GetProblem()}
			}
		}
	}
	if s.own(node) {
		return routes, s.local.KernelRoutes(ctx, source, netip.Prefix{}, func(all []*vrouterv1.Route) error {
			take(all)
			return nil
		})
	}
	return proxied(ctx, s, node, func(ctx context.Context, c vrouterv1.NodeServiceClient) (map[netip.Addr]ipam.NodeRoute, error) {
		stream, err := c.ListRoutes(ctx, &vrouterv1.ListRoutesRequest{Node: node, Source: source})
		for err == nil {
			var part *vrouterv1.ListRoutesResponse
			part, err = stream.Recv()
			take(part.GetRoutes())
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return routes, err
	})
}
