package integration_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// smallPools have blocks of four addresses, of which blocks are told.
const smallPools = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: small}
spec: {cidr: 10.65.0.0/24, blockSize: 30, advertise: Blocks}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: small-six}
spec: {cidr: "fd00:65::/120", blockSize: 126, advertise: Blocks}
`

// TestHostLocalBlocks: two hosts have a block of each family by decision of an
// operator. Their workloads have addresses of these and reach each other by
// routes to blocks; nothing else is used, claimed or borrowed, however little is
// left; a block in use stays, and one that is drained goes with its last address.
func TestHostLocalBlocks(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "hostlocal", 1)
	for _, name := range []string{"h1", "h2", "h3"} {
		s.Daemon(name, fabric.Settings{})
	}
	h1, h2, h3 := s.Hosts[0], s.Hosts[1], s.Hosts[2]
	h1.WaitReady()
	h1.Apply(smallPools)
	for _, d := range s.Hosts {
		d.WaitReady()
	}
	ctl := func(words, refusal string) {
		t.Helper()
		out, err := h3.Ctl(append([]string{"ipam"}, strings.Fields(words)...)...)
		if (err != nil) != (refusal != "") || !strings.Contains(out, refusal) {
			t.Errorf("ipam %s: %v, want %q\n%s", words, err, refusal, out)
		}
	}
	ctl("assign-block h1 10.65.0.16/30", "")
	ctl("assign-block h1 fd00:65::10/126", "")
	ctl("assign-block h2 10.65.0.32/30", "")
	ctl("assign-block h2 fd00:65::20/126", "")
	ctl("assign-block h2 10.65.0.16/30", "it is assigned to node h1")
	ctl("assign-block h2 10.65.0.16/29", "assign them one by one")
	ctl("assign-block h2 10.66.0.16/30", "it lies in no pool")

	blocks := [][2]string{{"10.65.0.16/30", "fd00:65::10/126"}, {"10.65.0.32/30", "fd00:65::20/126"}}
	var workloads []*lab.Workload
	for _, c := range []struct {
		host int
		name string
	}{{0, "a1"}, {0, "a2"}, {1, "b1"}, {1, "b2"}} {
		w := givenIn(t, s.Hosts[c.host], s.Hosts[(c.host+1)%3], "default", c.name)
		for i, block := range blocks[c.host] {
			if a := w.Addr(i == 0); !netip.MustParsePrefix(block).Contains(a) {
				t.Errorf("%s was given %s, not of %s", c.name, a, block)
			}
		}
		workloads = append(workloads, w)
	}
	requireAllPairs(t, workloads)
	requireBlackholes(t, h1, blocks[0][:])
	requireBlackholes(t, h2, blocks[1][:])
	var want []string
	for i, d := range []*fabric.Daemon{h1, h2} {
		for k, host := range hostAddresses(d) {
			want = append(want, blocks[i][k]+" via "+host.String()+"\n")
		}
	}
	slices.Sort(want)
	requireLearned(t, h3.Host, strings.Join(want, ""))

	// Two more are left of h1's, and then none, whatever the pool has.
	register := func(name, via string, addresses ...string) error {
		request := fabric.Request(via, name, "cali"+name, addresses...)
		request.Wait = vrouterv1.Stage_STAGE_REGISTERED
		_, err := h2.Endpoint.Register(t.Context(), request)
		return err
	}
	for _, name := range []string{"a3", "a4"} {
		if err := register(name, "h1"); err != nil {
			t.Error(err)
		}
	}
	err := register("a5", "h1")
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "the node uses assigned blocks only: assign it another one") {
		t.Errorf("one too many: %v", err)
	}
	if err := register("a6", "h1", "10.65.0.99"); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("an address outside the block: %v", err)
	}
	if err := register("c1", "h3", "10.65.0.17"); err == nil {
		t.Error("an address of h1's block is given to h3")
	}
	requireBlocksOf(t, h3, map[string]int{"h1": 2, "h2": 2})
	ctl("release-block h1 10.65.0.16/30", "4 of its addresses are held")
	ctl("release-block h3 10.65.0.16/30", "it belongs to host:h1")
	ctl("check --kernel=false", "")

	// A host whose block is drained is one like any other afterwards.
	ctl("release-block h2 10.65.0.32/30 --drain", "")
	if err := register("b3", "h2"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("of a block that is drained: %v", err)
	}
	for _, name := range []string{"b1", "b2"} {
		id := fabric.Request("h2", name, "").Id
		if _, err := h2.Endpoint.Unregister(t.Context(), &vrouterv1.UnregisterRequest{Id: id}); err != nil {
			t.Fatal(err)
		}
	}
	requireBlocksOf(t, h3, map[string]int{"h1": 2, "h2": 1})
	again := givenIn(t, h2, h1, "default", "b4")
	if a := again.Addr(false); !netip.MustParsePrefix(blocks[1][1]).Contains(a) {
		t.Errorf("b4 was given %s", a)
	}
	requireAllPairs(t, []*lab.Workload{workloads[0], again})
}

// requireBlocksOf fails the test unless hosts have so many blocks.
func requireBlocksOf(t *testing.T, d *fabric.Daemon, want map[string]int) {
	t.Helper()
	list, err := d.Resources.List(t.Context(), &vrouterv1.ListRequest{Kind: "BlockAffinity"})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for _, r := range list.Resources {
		got[r.GetBlockAffinity().GetSpec().GetNode()]++
	}
	if err := mismatch(want, got, nil); err != nil {
		t.Errorf("blocks of hosts: %v", err)
	}
}
