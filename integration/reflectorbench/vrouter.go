package reflectorbench

import (
	"fmt"
	"net/netip"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// manifest is the pool that the routes lie in, and every node but the
// reflector as its client, with a limit of routes.
const manifest = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v4}
spec: {cidr: ` + routesIPv4 + `}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v6}
spec: {cidr: "` + routesIPv6 + `"}
` + fabric.NoMesh + `
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: reflectors}
spec: {nodeSelector: "!has(reflector)", peerSelector: has(reflector), maxPrefixes: {limit: %d, restartTime: 1s}}
`

// startVrouter runs `vrouterd reflector` with its embedded store, whose cost is
// counted, and registers every client as a node.
func startVrouter(t lab.T, h *lab.Host, p Plan) []*lab.Process {
	t.Helper()
	settings := fabric.Settings{
		Role: "reflector", ClusterID: targetIPv4, Labels: map[string]string{"reflector": "true"}, Quiet: true,
		IPv4: targetIPv4 + "/24",
		BGP:  "  advertiseDelay: 1s\n", // the spare clients, which are not there yet, would be waited for
	}
	if p.IPv6 {
		settings.IPv6 = targetIPv6 + "/64"
	}
	d := fabric.New(t, h, settings)
	d.WaitReady()
	d.Apply(fmt.Sprintf(manifest, p.limit()))
	var group errgroup.Group
	group.SetLimit(16) // the store writes to disk; one at a time takes a minute for a thousand
	for c := range p.Clients + spares {
		group.Go(func() error {
			request := &vrouterv1.PutRequest{Resource: &vrouterv1.Resource{
				Resource: &vrouterv1.Resource_Node{Node: node(p, c)},
			}}
			if _, err := d.Resources.Put(t.Context(), request, grpc.WaitForReady(true)); err != nil {
				return fmt.Errorf("put node of client %d: %w", c, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("%v", err)
	}
	return []*lab.Process{d.Process()}
}

// node is client c as a node with the address of the plan's family.
func node(p Plan, c int) *vrouterv1.Node {
	a := p.clientAddr(c)
	address := netip.PrefixFrom(a, a.BitLen()).String()
	name := fmt.Sprintf("client-%d", c)
	spec := new(vrouterv1.NodeBGPSpec)
	if p.IPv6 {
		spec.Ipv6Address = &address
	} else {
		spec.Ipv4Address = &address
	}
	return &vrouterv1.Node{
		Metadata: &vrouterv1.Metadata{Name: &name},
		Spec:     &vrouterv1.NodeSpec{Bgp: spec},
	}
}
