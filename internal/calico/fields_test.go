package calico

import (
	"fmt"
	"strings"
	"testing"
)

// TestFieldsOfBlocks: what versions of Calico write into a block, and what of
// it is taken.
func TestFieldsOfBlocks(t *testing.T) {
	const pool = "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: p}, spec: {cidr: 10.0.0.0/24, blockSize: 30}}\n---\n"
	const crd = "{apiVersion: crd.projectcalico.org/v1, kind: %s, metadata: {name: x}, spec: {%s}}\n---\n"
	const free = "allocations: [null, null, null, null], unallocated: [0, 1, 2, 3], attributes: []"
	const held = "allocations: [null, 0, null, null], unallocated: [2, 3, 0], attributes: [{handle_id: h}]"
	for _, c := range []struct {
		name, block, affinity string
		want                  string // line by line; of a refusal what it says
		refused               bool
	}{
		{"of the first versions", "hostAffinity: n1, sequenceNumber: 0, " + held, "",
			"block 10.0.0.0/30 affinity \"host:n1\" claimed 0 sequence 1 free [2 3 0]\n  10.0.0.1 h 1\n" +
				"handle h external \"\" 10.0.0.0/30:1\naffinity n1 10.0.0.0/30 confirmed", false},
		{"affinity before hostAffinity", "affinity: 'host:n2', hostAffinity: n1, " + free, "", `affinity "host:n2"`, false},
		{"nobody's", "affinity: null, hostAffinity: '', " + free, "", `affinity "" claimed 0`, false},
		{"without numbers of its own", "sequenceNumber: 9, sequenceNumberForAllocation: {'0': 4}, " + held, "", "sequence 9 free [2 3 0]\n  10.0.0.1 h 9", false},
		{"a number above the block's", "sequenceNumber: 9, sequenceNumberForAllocation: {'1': 12}, " + held, "", "sequence 12 free [2 3 0]\n  10.0.0.1 h 12", false},
		{"claimed", "affinity: 'host:n1', affinityClaimTime: '2024-03-05T12:00:00Z', " + free, "", "claimed 1709640000", false},
		{"claimed, in etcd", "affinity: 'host:n1', affinity_claim_time: '2024-03-05T12:00:00Z', " + free, "", "claimed 1709640000", false},
		{"a handle with what is none of it", `allocations: [0, 1, null, null], unallocated: [2, 3], attributes: [{handle_id: "h\r\nx"}, {handle_id: h}]`, "",
			"  10.0.0.0 h 1\n  10.0.0.1 h 1\nhandle h external \"\" 10.0.0.0/30:2", false},
		{"attributes apart", "allocations: [1, 0, 1, null], unallocated: [3], attributes: [{handle_id: h, secondary: {pod: a}}, {handle_id: h, secondary: {pod: b}}]", "",
			"  10.0.0.0 h 1 pod=\"b\"\n  10.0.0.1 h 1 pod=\"a\"\n  10.0.0.2 h 1 pod=\"b\"\nhandle h external \"\" 10.0.0.0/30:3", false},
		{"free as nobody says", "allocations: [null, 0, null, null], unallocated: [3], attributes: [{}]", "", "free [3 0 2]\n  10.0.0.1 calico/10.0.0.1 1\n", false},
		{"all free as nobody says", "allocations: [null, null, null, null], unallocated: null, attributes: null", "", "free [0 1 2 3]", false},
		{"about to be claimed", "affinity: 'host:n1', " + free, "cidr: 10.0.0.0/30, node: n1, state: pending, deleted: 'false'", "affinity n1 10.0.0.0/30 confirmed", false},
		{"about to be given up", "affinity: 'host:n1', " + free, "cidr: 10.0.0.0/30, node: n1, state: pendingDeletion, deleted: 'false'", "affinity n1 10.0.0.0/30 pendingDeletion", false},
		{"whose affinity is deleted", "affinity: 'host:n1', " + free, "cidr: 10.0.0.0/30, node: n1, state: pendingDeletion, deleted: 'true'", "affinity n1 10.0.0.0/30 confirmed", false},
		{"load balancers'", "affinity: 'virtual:lb', " + free, "cidr: 10.0.0.0/30, node: lb, type: virtual, state: confirmed, deleted: false", "affinity virtual:lb 10.0.0.0/30 confirmed", false},
		{"deleted, and held", "deleted: true, " + held, "", ".deleted: it is being deleted, and addresses of it are held", true},
		{"of nobody's kind", "affinity: 'rack:n1', " + free, "", `"rack:n1" is neither host:NODE nor virtual:NAME`, true},
		{"of no node", "affinity: 'host:', " + free, "", `"host:" is neither host:NODE nor virtual:NAME`, true},
		{"an attribute below the first", "allocations: [null, -1, null, null], unallocated: [], attributes: [{}]", "", "attribute -1 of 1", true},
		{"an affinity of another type", free, "cidr: 10.0.0.0/30, node: n1, type: rack, state: confirmed", `.type: "rack" is neither host nor virtual`, true},
		{"an affinity of nobody", free, "cidr: 10.0.0.0/30, state: confirmed", ".node: is needed", true},
	} {
		text := pool + fmt.Sprintf(crd, "IPAMBlock", "cidr: 10.0.0.0/30, "+c.block)
		if c.affinity != "" {
			text += fmt.Sprintf(crd, "BlockAffinity", c.affinity)
		}
		// One that is deleted is none, whatever else it says.
		text += fmt.Sprintf(crd, "IPAMBlock", "cidr: 10.0.0.4/30, affinity: 'host:n1', deleted: true, "+free)
		taken, err := Convert(t.Context(), []File{{"f", []byte(text)}})
		if c.refused {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := render(t, taken); !strings.Contains(got, c.want) || taken.Blocks != 1 {
			t.Errorf("%s: %d blocks, got\n%s\nwant\n%s", c.name, taken.Blocks, got, c.want)
		}
	}
}
