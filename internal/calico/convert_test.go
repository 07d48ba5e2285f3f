package calico

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/backup"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// load reads files of testdata.
func load(t testing.TB, names ...string) []File {
	t.Helper()
	var files []File
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{name, data})
	}
	return files
}

func convert(t testing.TB, files ...File) *Taken {
	t.Helper()
	taken, err := Convert(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

// render shows what of an export is made by the conversion alone.
func render(t *testing.T, taken *Taken) string {
	t.Helper()
	var out strings.Builder
	f := taken.File
	fmt.Fprintf(&out, "cluster %s locked %t floor %d\n", f.ClusterGUID, f.Locked, f.SequenceFloor)
	fmt.Fprintf(&out, "%d objects %d endpoints %d blocks %d addresses %d external\n",
		taken.Objects, taken.Endpoints, taken.Blocks, taken.Addresses, taken.External)
	for _, w := range taken.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", w)
	}
	for _, kv := range f.KVs {
		switch {
		case strings.HasPrefix(kv.Key, store.AddressPrefix):
			fmt.Fprintf(&out, "%s %s\n", kv.Key, kv.Value)
		case strings.HasPrefix(kv.Key, store.BlockPrefix):
			b, err := ipam.DecodeBlock(kv.Value)
			if err != nil {
				t.Fatal(err)
			}
			raw := &vrouterv1.IPAMBlockSpec{}
			if err := proto.Unmarshal(kv.Value, raw); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "block %s affinity %q claimed %d sequence %d free %d\n", b.CIDR, b.Affinity,
				raw.GetAffinityClaimTime(), b.Sequence, raw.Unallocated)
			for _, h := range b.Holdings() {
				fmt.Fprintf(&out, "  %s %s %d", h.Address, h.Handle, h.Sequence)
				for _, k := range slices.Sorted(maps.Keys(h.Secondary)) {
					fmt.Fprintf(&out, " %s=%q", k, h.Secondary[k])
				}
				out.WriteByte('\n')
			}
		case strings.HasPrefix(kv.Key, store.HostsPrefix):
			a, err := ipam.DecodeAffinity(kv.Value)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "affinity %s %s %s\n", a.Node, a.CIDR, a.State)
		case strings.HasPrefix(kv.Key, store.HandlePrefix):
			h, err := ipam.DecodeHandle(kv.Value)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "handle %s %s %q", h.ID, h.Owner.Kind, h.Owner.Key)
			for _, cidr := range slices.SortedFunc(maps.Keys(h.Blocks), func(a, b netip.Prefix) int { return a.Compare(b) }) {
				fmt.Fprintf(&out, " %s:%d", cidr, h.Blocks[cidr])
			}
			out.WriteByte('\n')
		default:
			fmt.Fprintln(&out, kv.Key)
		}
	}
	return out.String()
}

// TestConvert: from etcd or from Kubernetes, with endpoints or without, every
// address is held where it was, with its attributes and numbers.
func TestConvert(t *testing.T) {
	for _, c := range []struct {
		golden string
		files  []string
	}{
		{"etcd.golden", []string{"etcd/migrate.export", "etcd/endpoints.yaml"}},
		{"etcd.golden", []string{"etcd/endpoints.yaml", "etcd/migrate.export"}},
		{"allocations.golden", []string{"etcd/migrate.export"}},
		{"allocations.golden", []string{"kubernetes/objects.yaml", "kubernetes/ipam.yaml"}},
		{"etcd.golden", []string{"kubernetes/ipam.yaml", "etcd/endpoints.yaml", "kubernetes/objects.yaml"}},
	} {
		got := render(t, convert(t, load(t, c.files...)...))
		got = regexp.MustCompile(`such as .* \(1`).ReplaceAllString(got, "such as SOURCE (1") // another in each
		golden := filepath.Join("testdata", c.golden)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%q: got\n%s\nwant\n%s", c.files, got, want)
		}
	}
}

// TestImported: what was converted is imported into an empty store, where a
// check finds nothing, and goes on there: held addresses are not given out, and
// numbers do not come again.
func TestImported(t *testing.T) {
	for _, files := range [][]File{
		load(t, "etcd/migrate.export", "etcd/endpoints.yaml"),
		load(t, "kubernetes/objects.yaml", "kubernetes/ipam.yaml"),
	} {
		taken := convert(t, files...)
		s := store.NewMemory()
		i := &backup.Importer{Store: s, Self: "new", Now: testNow}
		if _, err := i.Run(t.Context(), taken.File, false); err != nil {
			t.Fatal(err)
		}
		contents, err := ipam.ReadContents(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		env, err := ipam.Stored{Store: s}.Env(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range contents.Check(env).Problems {
			t.Errorf("check: %s", p)
		}
		held := make(map[string]bool)
		for _, b := range contents.Blocks {
			for _, h := range b.Holdings() {
				held[h.Address.String()] = true
			}
		}
		client := ipam.NewClient(s, ipam.Stored{Store: s})
		got, err := client.Allocate(t.Context(), ipam.Request{Node: "rack1-host1", IPv4: 12, Handle: "new", Owner: ipam.Owner{Kind: ipam.OwnerExternal}})
		if err != nil || len(got.Allocations) != 12 {
			t.Fatalf("%v, %v", got, err)
		}
		for n, a := range got.Allocations {
			if held[a.Address.String()] || n == 0 && a.Address.String() != "10.65.0.5" {
				t.Errorf("%s was given out as number %d", a.Address, n)
			}
			if a.Sequence <= taken.File.SequenceFloor && !strings.HasPrefix(a.Address.String(), "10.65.0.") {
				t.Errorf("%s has number %d of a new block", a.Address, a.Sequence)
			}
		}
	}
}

func testNow() time.Time { return time.Unix(1e9, 0) }

// edit replaces a text in one of the files, where it must be.
func edit(t *testing.T, files []File, old, next string) []File {
	t.Helper()
	out := slices.Clone(files)
	done := 0
	for i := range out {
		text := string(out[i].Data)
		done += strings.Count(text, old)
		out[i].Data = []byte(strings.Replace(text, old, next, 1))
	}
	if done == 0 {
		t.Fatalf("%q is nowhere", old)
	}
	return out
}

// TestRefused: what cannot be taken is refused by file, document and path.
func TestRefused(t *testing.T) {
	etcd, kubernetes := load(t, "etcd/migrate.export", "etcd/endpoints.yaml"), load(t, "kubernetes/objects.yaml", "kubernetes/ipam.yaml")
	for _, c := range []struct {
		files     []File
		old, next string
		path      string // that a problem has
		says      string
	}{
		{etcd, "ipipMode: Never", "ipipMode: Always", "etcd/migrate.export: document 1, item 1: spec.ipipMode", "not supported"},
		{etcd, "blockSize: 29", "blocksize: 29", "etcd/migrate.export: document 1, item 1: line 13: spec.blocksize", "unknown field"},
		{etcd, "\n===\n{\n  \"block", "\n{\n  \"block", "etcd/migrate.export", "it has 2 parts"},
		{etcd, `"config": {`, `"more": {`, "etcd/migrate.export: part 3 (IPAM)", "unknown field"},
		{etcd, `"deleted": false`, `"released": false`, "part 3 (IPAM): block_affinities[0]", "unknown field"},
		{etcd, `"state": "confirmed"`, `"state": "confirmed", "state": "pending"`, "part 3 (IPAM): line 6: block_affinities[0].Value.state", "given twice"},
		{etcd, "/host/rack1-host1/ipv4/block/10.65.0.0-29", "/host/10.65.0.0-29", "block_affinities[0].Key", "none of an affinity"},
		{etcd, `"state": "confirmed"`, `"state": "sure"`, "block_affinities[0].Value.state", `"sure" is none of`},
		{etcd, "assignment/ipv4/block/10.65.0.0-29", "assignment/ipv4/block/10.65.0.0-28", "blocks[0].Value.cidr", "its key is of"},
		{etcd, "assignment/ipv4/block/10.65.0.0-29", "assignment/10.65.0.0-29", "blocks[0].Key", "none of a block"},
		{etcd, `"cidr": "10.65.0.0/29"`, `"cidr": "10.65.0.1/29"`, "blocks[0].Value.cidr", "not the prefix of a block"},
		{etcd, `"affinity": "host:rack1-host1"`, `"affinity": "rack1-host1"`, "blocks[0].Value (10.65.0.0/29).affinity", "neither host:NODE"},
		{etcd, `"allocations": [`, `"allocations": [ null,`, "(10.65.0.0/29).allocations", "there are 9, of 8 addresses"},
		{etcd, "\"allocations\": [\n          0", "\"allocations\": [\n          7", "(10.65.0.0/29).allocations[0]", "attribute 7 of 3"},
		{etcd, `"sequenceNumber": 1709640000000000012`, `"sequenceNumber": 18446744073709551615`, "(10.65.0.0/29).sequenceNumber", "too high"},
		{etcd, `"sequenceNumber": 1709640000000000012`, `"sequenceNumber": -1`, "blocks[0]: Value.sequenceNumber", "cannot be number -1"},
		{etcd, `"0": 1709640000000000001`, `"8": 1709640000000000001`, "(10.65.0.0/29).sequenceNumberForAllocation", `"8" is none of 8`},
		{etcd, `"handle_id": "k8s-pod-network.1f0c0d8a6e1b"`, `"handle_id": "` + strings.Repeat("h", 513) + `"`, "attributes[1].handle_id", "513 bytes"},
		{etcd, `"type": "vxlanTunnelAddress"`, `"type": "x"}, "alternate": {"pod": "next"`, "attributes[0].alternate", "not supported"},
		{etcd, "cidr: 10.65.0.0/16", "cidr: 10.66.0.0/16", "blocks[0].Value (10.65.0.0/29)", "no pool has it"},
		{etcd, "blockSize: 29", "blockSize: 28", "blocks[0].Value (10.65.0.0/29)", "wrong-size"},
		{etcd, "10.65.0.10/32", "10.65.0.9/32", "etcd/endpoints.yaml: document 1, item 3: spec.ipNetworks", "WorkloadEndpoint"},
		{etcd, "10.65.0.10/32", "10.65.0.10/24", "etcd/endpoints.yaml: document 1, item 3: spec.ipNetworks[0]", "is a range"},
		{etcd, `"clusterGUID"`, `"clusterguid": "x", "clusterGUID"`, "", ""},
		{etcd, `"10.65.0.0/29": 1`, `"10.65.0.0/29": "1"`, "handles[0]: Value.block", "cannot be string"},
		{etcd, "/calico/ipam/v2/handle/lb", "/calico/handle/lb", "handles[4].Key", "none of a handle"},
		{etcd, `"auto_allocate_blocks": true`, `"auto_allocate_blocks": false`, "part 3 (IPAM): config.Value: spec.autoAllocateBlocks", "strictAffinity"},
		{etcd, `"auto_allocate_blocks": true`, `"auto_allocate_blocks": true, "maxBlocksPerHost": -1`, "maxBlocksPerHost", "-1 is no number"},
		{kubernetes, "cidr: 10.65.0.0/29", "cidr: 10.65.0.8/29", "kubernetes/ipam.yaml, item 2: spec (10.65.0.8/29)", "the block is in kubernetes/ipam.yaml, item 1"},
		{kubernetes, "strictAffinity: false", "strictAffinity: false\n    more: 1", "kubernetes/ipam.yaml, item 1", "unknown field"},
		{kubernetes, "strictAffinity: false}", "strictAffinity: false, kubeVirtVMAddressPersistence: Disabled}", "", ""},
		{kubernetes, "strictAffinity: false}", "strictAffinity: false, kubeVirtVMAddressPersistence: Enabled}", ": spec.kubeVirtVMAddressPersistence", "not supported"},
		{kubernetes, "kind: IPAMHandle", "kind: IPAMThing", "kubernetes/ipam.yaml", "is not a kind"},
		{kubernetes, "deleted: 'false'", "deleted: perhaps", "kubernetes/ipam.yaml", "neither true nor false"},
		{kubernetes, "handleID: lb-4f2c9a", "handleID: k8s-pod-network.1f0c0d8a6e1b", "kubernetes/ipam.yaml", "too"},
	} {
		taken, err := Convert(t.Context(), edit(t, c.files, c.old, c.next))
		if c.path+c.says == "" {
			if err != nil {
				t.Errorf("%q: %v", c.next, err)
			}
			continue
		}
		var bad *resource.Invalid
		if !errors.As(err, &bad) || taken != nil {
			t.Errorf("%q: taken, %v", c.next, err)
			continue
		}
		if !slices.ContainsFunc(bad.Problems, func(p resource.Problem) bool {
			return p.Unsupported == (c.says == "not supported") && strings.Contains(p.Path, c.path) && strings.Contains(p.Path+p.Reason, c.says)
		}) {
			t.Errorf("%q: no problem of %q that says %q:\n%s", c.next, c.path, c.says, strings.ReplaceAll(err.Error(), "; ", "\n"))
		}
	}
	for _, files := range [][]File{nil, {{Name: "x"}}, load(t, "kubernetes/objects.yaml")} {
		if _, err := Convert(t.Context(), files); err == nil || !strings.Contains(err.Error(), "neither blocks") {
			t.Errorf("%d files without addresses: %v", len(files), err)
		}
	}
}

// TestAddressesOfAnOrchestrator: where Calico gave out no addresses, as below
// OpenStack, those of endpoints are taken, in blocks as pools have them.
func TestAddressesOfAnOrchestrator(t *testing.T) {
	files := load(t, "etcd/migrate.export", "etcd/endpoints.yaml")
	text, _, _ := strings.Cut(string(files[0].Data), "===")
	files[0].Data = []byte(text)
	taken := convert(t, files...)
	if taken.Blocks != 3 || taken.Addresses != 4 || taken.External != 0 {
		t.Errorf("%d blocks, %d addresses, %d of nobody", taken.Blocks, taken.Addresses, taken.External)
	}
	got := render(t, taken)
	for _, want := range []string{
		"block 10.65.0.8/29 affinity \"\" claimed 0 sequence 1 free [0 3 4 5 6 7]\n  10.65.0.9 shop/k8s/db-0/eth0 1\n  10.65.0.10 shop/k8s/web-1/eth0 1\n",
		"handle shop/k8s/db-0/eth0 endpoint \"r/WorkloadEndpoint/shop/k8s%2Fdb-0%2Feth0\" 10.65.0.8/29:1 fd80:65::8/125:1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	outside := convert(t, edit(t, load(t, "etcd/migrate.export", "etcd/endpoints.yaml"), "10.65.0.10/32", "10.99.0.10/32")...)
	if w := strings.Join(outside.Warnings, "\n"); !strings.Contains(w, "1 addresses of endpoints are outside all pools") {
		t.Errorf("an address outside all pools: %s", w)
	}
}

// TestWarnings: what is taken, and whoever takes it should know of.
func TestWarnings(t *testing.T) {
	files := load(t, "etcd/migrate.export", "etcd/endpoints.yaml")
	for _, c := range []struct{ old, next, says string }{
		{"    name: rack1-host2\n", "    name: other-host\n", "1 nodes have blocks or endpoints and are no Node of the files, such as rack1-host2"},
		{"name: kns.shop", "name: kns.other", "objects name 1 of kind Profile that the files do not have, such as kns.shop"},
		{`"10.65.0.8/29": 2`, `"10.65.0.8/29": 5`, `1 handles count otherwise than the blocks, which decide, such as "k8s-pod-network.5e2b7d904c33"`},
		{"\"unallocated\": [\n          5,", "\"unallocated\": [\n          1, 5, 5,", "1 blocks list free addresses otherwise than their allocations, which decide, such as etcd/migrate.export: part 3 (IPAM): blocks[0].Value (10.65.0.0/29).unallocated"},
		{`"pod": "web-0"`, `"pod": "web-7"`, "1 addresses are taken as those of endpoints, and Calico's blocks say of another pod, such as 10.65.0.1 of shop/k8s/web-0/eth0: pod web-7 of shop"},
		{"/calico/ipam/v2/host/rack1-host2/ipv4", "/calico/ipam/v2/host/rack1-host1/ipv4", "(rack1-host1, 10.65.0.8/29): the node does not have the block"},
	} {
		taken := convert(t, edit(t, files, c.old, c.next)...)
		if !slices.ContainsFunc(taken.Warnings, func(w string) bool { return strings.Contains(w, c.says) }) {
			t.Errorf("%q: no warning says %q: %q", c.next, c.says, taken.Warnings)
		}
	}
	taken := convert(t, edit(t, files, `"datastoreReady": false`, `"datastoreReady": true`)...)
	i := &backup.Importer{Store: store.NewMemory(), Self: "new", Now: testNow}
	done, err := i.Run(t.Context(), taken.File, false)
	if err != nil || len(done.Warnings) != 1 || !strings.Contains(done.Warnings[0], "was not locked") {
		t.Errorf("of a Calico that was not locked: %v, %v", done, err)
	}
	client := ipam.NewClient(i.Store, ipam.Stored{Store: i.Store})
	got, err := client.Assign(t.Context(), ipam.AssignRequest{Address: netip.MustParseAddr("10.65.0.5"), Node: "rack1-host1", Handle: "new",
		Owner: ipam.Owner{Kind: ipam.OwnerExternal}})
	if err != nil || got.Sequence <= taken.File.SequenceFloor+1<<39 {
		t.Errorf("an address that may have been given out meanwhile has number %d: %v", got.Sequence, err)
	}
}
