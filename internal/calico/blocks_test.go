package calico

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/backup"
	"github.com/projectvrouter/vrouter/internal/store"
)

// emptyBlock is a manifest of a block that nobody holds an address of.
func emptyBlock(cidr string, size int) File {
	free := make([]string, size)
	for i := range free {
		free[i] = "null"
	}
	return File{cidr, []byte("kind: IPAMBlock\napiVersion: crd.projectcalico.org/v1\nmetadata: {name: b}\n" +
		"spec: {cidr: " + cidr + ", affinity: 'host:rack1-host1', allocations: [" + strings.Join(free, ", ") + "], attributes: []}\n")}
}

// TestEmptyBlocksOfNoUse: empty blocks that no pool has any more, or not in that
// size, hold up nothing: they are left out, and one warning tells of all.
func TestEmptyBlocksOfNoUse(t *testing.T) {
	files := load(t, "etcd/migrate.export", "etcd/endpoints.yaml")
	blocks := convert(t, files...).Blocks
	files = append(files, emptyBlock("10.65.1.0/30", 4), emptyBlock("10.99.0.0/29", 8), emptyBlock("fd80:65::100/126", 4))
	taken := convert(t, files...)
	if taken.Blocks != blocks {
		t.Errorf("%d blocks, want %d", taken.Blocks, blocks)
	}
	var told []string
	for _, w := range taken.Warnings {
		if strings.Contains(w, "left out") {
			told = append(told, w)
		}
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], "4 blocks are left out, such as 10.65.1.0/30: ") {
		t.Errorf("warnings %q", told)
	}
	// One of the pool's size is as good as any.
	if n := convert(t, append(files, emptyBlock("10.65.1.0/29", 8))...).Blocks; n != blocks+1 {
		t.Errorf("%d blocks with another that is empty, want %d", n, blocks+1)
	}
}

// TestLockedByAll: a ClusterInformation of before the lock says that something
// may have been written since, wherever it stands among the files.
func TestLockedByAll(t *testing.T) {
	files := load(t, "etcd/migrate.export", "etcd/endpoints.yaml")
	if !convert(t, files...).File.Locked {
		t.Fatal("not locked")
	}
	info := "kind: ClusterInformation\napiVersion: projectcalico.org/v3\nmetadata: {name: default}\n" +
		"spec: {clusterGUID: 0d5c2f4f1a1b4d9a8e3c5b7a9d1e3f50, datastoreReady: READY}\n"
	for ready, locked := range map[string]bool{"true": false, "false": true, "null": false} {
		more := File{"info", []byte(strings.Replace(info, "READY", ready, 1))}
		for at := range len(files) + 1 {
			if got := convert(t, slices.Insert(slices.Clone(files), at, more)...).File.Locked; got != locked {
				t.Errorf("datastoreReady %s as file %d: locked %t", ready, at, got)
			}
		}
	}
}

// TestFullBlocks: blocks that are full, of any size and with all that Calico
// remembers of a pod, are together more than a transaction holds.
func TestFullBlocks(t *testing.T) {
	for _, c := range []struct{ bits, blocks int }{{26, 130}, {20, 2}} {
		var b strings.Builder
		fmt.Fprintf(&b, `{"apiVersion": "v1", "kind": "List", "items": [
{"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "p"}, "spec": {"cidr": "10.0.0.0/8", "blockSize": %d}}`, c.bits)
		first, size := netip.MustParseAddr("10.0.0.0"), 1<<(32-c.bits)
		for range c.blocks {
			block := map[string]any{"cidr": netip.PrefixFrom(first, c.bits).String(), "affinity": "host:rack1-host1"}
			var allocations []int
			var attributes []any
			for i := range size {
				allocations = append(allocations, i)
				attributes = append(attributes, map[string]any{
					"handle_id": "k8s-pod-network." + strings.Repeat("f", 64-15) + first.String(),
					"secondary": map[string]string{"node": "rack1-host1.of.some.cluster", "namespace": "some-namespace",
						"pod": "some-application-" + first.String(), "timestamp": "2024-03-05 12:00:00.000000000 +0000 UTC"},
				})
				first = first.Next()
			}
			block["allocations"], block["attributes"] = allocations, attributes
			text, err := json.Marshal(block)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, ",\n"+`{"apiVersion": "crd.projectcalico.org/v1", "kind": "IPAMBlock", "metadata": {"name": "b"}, "spec": %s}`, text)
		}
		b.WriteString("]}")
		taken := convert(t, File{"full", []byte(b.String())})
		if taken.Blocks != c.blocks || taken.Addresses != c.blocks*size {
			t.Errorf("/%d: %d blocks, %d addresses", c.bits, taken.Blocks, taken.Addresses)
		}
		i := &backup.Importer{Store: store.NewMemory(), Self: "new", Now: testNow}
		if _, err := i.Run(t.Context(), taken.File, false); err != nil {
			t.Errorf("/%d: %v", c.bits, err)
		}
	}
}
