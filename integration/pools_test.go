package integration_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// chosenPools is a pool of IPv4 for each rack, one for the namespaces of a
// tenant, of which addresses are advertised, and one for those of a tenant that
// has one block only; and one of IPv6 for each side.
const chosenPools = `
apiVersion: v1
kind: Namespace
metadata: {name: blue, labels: {tenant: blue}}
---
apiVersion: v1
kind: Namespace
metadata: {name: tiny, labels: {tenant: tiny}}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: rack-a}
spec: {cidr: 10.65.0.0/18, nodeSelector: rack == "a", namespaceSelector: "!has(tenant)", advertise: Blocks}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: rack-b}
spec: {cidr: 10.65.64.0/18, nodeSelector: rack == "b", namespaceSelector: "!has(tenant)", advertise: Blocks}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: racks}
spec: {cidr: "fd00:65:0:a::/64", namespaceSelector: "!has(tenant)", advertise: Blocks}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: blue}
spec: {cidr: 10.65.128.0/18, namespaceSelector: tenant == "blue"}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: blue-six}
spec: {cidr: "fd00:65:0:b::/64", namespaceSelector: tenant == "blue"}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: tiny}
spec: {cidr: 10.65.192.0/28, blockSize: 28, namespaceSelector: tenant == "tiny", advertise: Blocks}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: tiny-six}
spec: {cidr: "fd00:65:0:c::/124", blockSize: 124, namespaceSelector: tenant == "tiny", advertise: Blocks}
`

// chosen is a workload and the pools that its addresses must be of.
type chosen struct {
	name, namespace string
	host            int
	pools           [2]string // IPv4, IPv6
	told            [2]int    // the length of the prefixes that are told of them
}

// TestPoolsPerRackAndNamespace: endpoints that state no address get one of each
// family, of the pools for their rack and namespace; everybody reaches everybody
// by what each pool advertises, and nobody hears of anything else on the way
// there: an address, say, before the block that came with it. A host that finds no
// free block borrows, and is reached through the lender's blackhole.
func TestPoolsPerRackAndNamespace(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "pools", 1)
	for i, rack := range []string{"a", "b", "b"} {
		s.Daemon(fmt.Sprintf("h%d", i+1), fabric.Settings{Labels: map[string]string{"rack": rack}})
	}
	s.Hosts[0].WaitReady()
	s.Hosts[0].Apply(chosenPools)
	for _, d := range s.Hosts {
		d.WaitReady()
	}
	var monitors []*fabric.Monitor
	for _, d := range s.Hosts {
		monitors = append(monitors, fabric.NewMonitor(t, d.Host))
	}
	racks, blocks, addresses := "fd00:65:0:a::/64", [2]int{26, 122}, [2]int{32, 128}
	blue, tiny := [2]string{"10.65.128.0/18", "fd00:65:0:b::/64"}, [2]string{"10.65.192.0/28", "fd00:65:0:c::/124"}
	all := []chosen{
		{"a1", "default", 0, [2]string{"10.65.0.0/18", racks}, blocks},
		{"b2", "default", 1, [2]string{"10.65.64.0/18", racks}, blocks},
		{"b3", "default", 2, [2]string{"10.65.64.0/18", racks}, blocks},
		{"t1", "blue", 0, blue, addresses},
		{"t3", "blue", 2, blue, addresses},
		{"s1", "tiny", 0, tiny, [2]int{28, 124}},
		{"s2", "tiny", 1, tiny, addresses}, // borrowed of the first host
		{"s3", "tiny", 2, tiny, addresses},
	}
	var workloads []*lab.Workload
	for _, c := range all {
		w := givenIn(t, s.Hosts[c.host], s.Hosts[(c.host+1)%3], c.namespace, c.name)
		for i, pool := range c.pools {
			if a := w.Addr(i == 0); !netip.MustParsePrefix(pool).Contains(a) {
				t.Errorf("%s in namespace %s was given %s, not of %s", c.name, c.namespace, a, pool)
			}
		}
		workloads = append(workloads, w)
	}
	requireAllPairs(t, workloads)
	for i, d := range s.Hosts {
		var want []string
		for j, c := range all {
			if c.host == i {
				continue
			}
			for k, host := range hostAddresses(s.Hosts[c.host]) {
				told := netip.PrefixFrom(workloads[j].Addr(k == 0), c.told[k]).Masked().String()
				want = append(want, strings.TrimSuffix(strings.TrimSuffix(told, "/128"), "/32")+" via "+host.String()+"\n")
			}
		}
		slices.Sort(want)
		requireLearned(t, d.Host, strings.Join(want, ""))
		if removed := monitors[i].Stop(); len(removed) > 0 {
			t.Errorf("%s: there were other routes for a moment: %q", d.Name(), removed)
		}
	}
}

// givenIn registers an endpoint in a namespace, without an address, and makes
// the workload with what it was given.
func givenIn(t *testing.T, d, via *fabric.Daemon, namespace, name string) *lab.Workload {
	t.Helper()
	request := fabric.Request(d.Name(), name, "cali"+name)
	request.Id.Namespace, request.Wait = namespace, vrouterv1.Stage_STAGE_REGISTERED
	got, err := via.Endpoint.Register(t.Context(), request)
	if err != nil {
		t.Fatalf("register %s: %v", name, err)
	}
	var addresses []string
	for _, n := range got.GetEndpoint().GetSpec().GetIpNetworks() {
		a, _, _ := strings.Cut(n, "/")
		addresses = append(addresses, a)
	}
	if len(addresses) != 2 {
		t.Fatalf("%s was given %q", name, addresses)
	}
	return d.Host.Workload(name+"-"+d.Name(), "cali"+name, addresses...)
}
