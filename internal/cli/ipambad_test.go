package cli

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
)

// TestBadAddressInput: what an operator wrongly asks address management for is
// refused with the path and the reason, and no key of the store changes.
func TestBadAddressInput(t *testing.T) {
	db := store.NewMemory()
	f := realServer(t, db)
	for _, args := range [][]string{
		{"apply", "-f", "testdata/manifests/dir/20-pool.yaml"},
		{"ipam", "configure", "--foreign-cidrs", "10.96.0.0/12,192.0.2.0/24"},
		{"endpoint", "register", "prod/docker/one/eth0", "--interface", "veth9", "--ip", "10.65.1.3"},
		{"ipam", "assign-block", "host2", "10.65.7.0/26"},
	} {
		if r := f.run(args...); r.code != ExitOK {
			t.Fatalf("%q: exit code %d\n%s", args, r.code, r.both)
		}
	}
	before := everything(t, db)
	for _, c := range append(badPoolManifests(), badAddressCommands()...) {
		t.Run(c.name, func(t *testing.T) {
			r := f.runWith(IO{In: strings.NewReader(c.in)}, c.args...)
			if r.code != c.code || r.out != "" || !strings.Contains(r.err, c.says) {
				t.Errorf("exit code %d, want %d; got:\n%swant:\n%s", r.code, c.code, r.both, c.says)
			}
			if !maps.Equal(everything(t, db), before) {
				t.Fatal("the store has changed")
			}
		})
	}
}

// everything is every key of a store with its value and revision.
func everything(t *testing.T, db *store.Memory) map[string]string {
	t.Helper()
	page, err := db.List(t.Context(), "", store.ListOptions{})
	if err != nil || len(page.KVs) < 10 {
		t.Fatalf("%d keys, %v", len(page.KVs), err)
	}
	all := map[string]string{}
	for _, kv := range page.KVs {
		all[kv.Key] = fmt.Sprint(kv.ModRevision, string(kv.Value))
	}
	return all
}

// badAddressCommand is a command that must be refused.
type badAddressCommand struct {
	name string
	args []string
	in   string // a manifest
	code int
	says string // is part of what is printed on standard error
}

func badPoolManifests() []badAddressCommand {
	pool := func(name, spec, says string) badAddressCommand {
		return badAddressCommand{name, []string{"apply", "-f", "-"},
			"apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: new}\nspec: {" + spec + "}\n", ExitFailed, says}
	}
	four := func(name, spec, says string) badAddressCommand {
		c := pool(name, spec, says)
		c.in = strings.Replace(c.in, "name: new", "name: four", 1)
		return c
	}
	object := func(name, kind, object, spec, says string) badAddressCommand {
		return badAddressCommand{name, []string{"apply", "-f", "-"},
			"apiVersion: projectcalico.org/v3\nkind: " + kind + "\nmetadata: {name: " + object + "}\nspec: {" + spec + "}\n", ExitFailed, says}
	}
	return []badAddressCommand{
		pool("block size 0", "cidr: 172.16.0.0/16, blockSize: 0", "spec.blockSize: 0 is not between 20 and 32"),
		pool("block too small", "cidr: 172.16.0.0/16, blockSize: 33", "spec.blockSize: 33 is not between 20 and 32"),
		pool("IPv6 block too large", "cidr: 'fd00::/64', blockSize: 64", "spec.blockSize: 64 is not between 116 and 128"),
		pool("block larger than the pool", "cidr: 172.16.0.0/28, blockSize: 26", "spec.blockSize: a block of /26 does not fit into the pool 172.16.0.0/28"),
		pool("IPv6 with IP-in-IP", "cidr: 'fd00::/64', ipipMode: Always", "spec.ipipMode: IP-in-IP does not carry IPv6"),
		pool("overlap", "cidr: 10.65.128.0/17", "spec.cidr: 10.65.128.0/17 overlaps 10.65.0.0/16 of IPPool four"),
		pool("in a foreign range", "cidr: 10.100.0.0/16", "spec.cidr: 10.100.0.0/16 overlaps 10.96.0.0/12, which the IPAMConfiguration says is foreign"),
		pool("host bits", "cidr: 172.16.0.1/16", "spec.cidr: 172.16.0.1/16 has bits set beyond its prefix length; the range is 172.16.0.0/16"),
		pool("no cidr", "natOutgoing: true", "spec.cidr: a range such as 192.168.0.0/16 is needed"),
		pool("unknown use", "cidr: 172.16.0.0/16, allowedUses: [Pod]", `spec.allowedUses[0]: "Pod" is none of Workload, Tunnel, LoadBalancer`),
		pool("mode in lower case", "cidr: 172.16.0.0/16, assignmentMode: automatic", `spec.assignmentMode: "automatic" is none of Automatic, Manual`),
		pool("global()", "cidr: 172.16.0.0/16, nodeSelector: 'global()'", "spec.nodeSelector"),
		four("change of the block size", "cidr: 10.65.0.0/16, blockSize: 28", "spec.blockSize: the block size of a pool cannot change (from 26)"),
		four("a pool that grows", "cidr: 10.64.0.0/15, blockSize: 26", "spec.cidr: the range of a pool cannot change (from 10.65.0.0/16)"),
		object("foreign range over a pool", "IPAMConfiguration", "default", "foreignCIDRs: [10.64.0.0/10]",
			"spec.foreignCIDRs[0]: 10.64.0.0/10 overlaps 10.65.0.0/16 of IPPool four"),
		object("another configuration", "IPAMConfiguration", "mine", "strictAffinity: true", "metadata.name"),
		object("reservation of a name", "IPReservation", "r", "reservedCIDRs: [gateway]", "spec.reservedCIDRs[0]"),
		object("a block", "IPAMBlock", "10-65-0-0-26", "cidr: 10.65.0.0/26", "kind"),
	}
}

func badAddressCommands() []badAddressCommand {
	command := func(code int, says string, args ...string) badAddressCommand {
		return badAddressCommand{strings.Join(args, " "), args, "", code, says}
	}
	return []badAddressCommand{
		command(ExitFailed, "addresses are held, such as 10.65.1.3 by handle prod/docker/one/eth0", "delete", "ippool", "four"),
		command(ExitFailed, "ipNetworks[0]: 10.65.1.3: address in use by handle prod/docker/one/eth0",
			"endpoint", "register", "prod/docker/two/eth0", "--interface", "veth8", "--ip", "10.65.1.3"),
		command(ExitFailed, "error: endpoint prod/docker/two/eth0: allocate.pools: no pool is for this request on node host1 (none: there is no such pool)\n",
			"endpoint", "register", "prod/docker/two/eth0", "--interface", "veth8", "--pool", "none"),
		command(ExitFailed, "error: endpoint prod/docker/two/eth0: no pool is for this request: there is no IPPool of IPv6\n",
			"endpoint", "register", "prod/docker/two/eth0", "--interface", "veth8", "--ipv6", "1"),
		command(ExitFailed, "spec.maxBlocksPerHost: needs strictAffinity", "ipam", "configure", "--max-blocks-per-host", "4"),
		command(ExitFailed, "spec.autoAllocateBlocks: false needs strictAffinity", "ipam", "configure", "--strict-affinity=false", "--auto-allocate-blocks=false"),
		command(ExitFailed, "spec.ipCooldownSeconds: 20m1s is not between 0 and 20m0s", "ipam", "configure", "--cooldown", "1201s"),
		command(ExitUsage, "--cooldown 1.5s: want whole seconds", "ipam", "configure", "--cooldown", "1500ms"),
		command(ExitFailed, "spec.ipCooldownSeconds", "ipam", "configure", "--cooldown", "4294967356s"), // 2^32 + 60
		command(ExitUsage, "", "ipam", "configure", "--max-blocks-per-host", "many"),
		command(ExitFailed, "spec.foreignCIDRs[1]", "ipam", "configure", "--foreign-cidrs", "192.0.2.0/24,nothing"),
		command(ExitFailed, "spec.reservedCIDRs[0]: 10.65.0.1/24 has bits set", "ipam", "reserve", "r", "10.65.0.1/24"),
		command(ExitUsage, "", "ipam", "reserve", "r"),
		command(ExitFailed, "addresses[0].address", "ipam", "release", "--ip", "10.65.1.3"),
		command(ExitFailed, "addresses[0].address", "ipam", "release", "--ip", "10.65.1.300"),
		command(ExitFailed, "addresses[0].address: 192.0.2.1: address is in no pool", "ipam", "release", "--ip", "192.0.2.1"),
		command(ExitNotFound, "error: handle nobody: no such handle\n", "ipam", "release", "--handle", "nobody"),
		command(ExitFailed, "error: handle prod/docker/one/eth0 is of endpoint prod/docker/one/eth0, which is there: remove that\n",
			"ipam", "release", "--handle", "prod/docker/one/eth0"),
		command(ExitNotFound, "error: handle nobody: no such handle\n", "ipam", "show", "--handle", "nobody"),
		command(ExitFailed, "ip: ", "ipam", "show", "--ip", "ten"),
		command(ExitFailed, "parts: 3 is not a power of two between 2 and 32", "ipam", "split", "four", "--parts", "3"),
		command(ExitNotFound, "pool: IPPool/none does not exist", "ipam", "split", "none"),
		command(ExitFailed, "error: cidr: block 10.65.7.0/26: in use: it is assigned to node host2\n", "ipam", "assign-block", "host1", "10.65.7.0/26"),
		command(ExitFailed, "cidr: block 10.65.7.0/24", "ipam", "assign-block", "host1", "10.65.7.0/24"),
		command(ExitFailed, "cidr: block 10.65.1.0/26", "ipam", "release-block", "host1", "10.65.1.0/26"),
		command(ExitFailed, "address management alone writes it", "delete", "block", "10.65.1.0/26"),
	}
}
