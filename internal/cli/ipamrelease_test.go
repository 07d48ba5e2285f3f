package cli

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/internal/store"
	"github.com/projectvrouter/vrouter/ipam"
)

// TestReleaseFromReports: leaks of several reports are released, and what was
// released since, or given out again, is passed over.
func TestReleaseFromReports(t *testing.T) {
	db := store.NewMemory()
	f := realServer(t, db)
	addresses := ipam.NewClient(db, ipam.Stored{Store: db})
	leak := func(address string) {
		t.Helper()
		_, err := addresses.Assign(t.Context(), ipam.AssignRequest{Address: netip.MustParseAddr(address), Node: "host1",
			Handle: "prod/docker/gone/eth0", Owner: ipam.Owner{Kind: ipam.OwnerEndpoint, Key: "r/WorkloadEndpoint/prod/docker%2Fgone%2Feth0"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(code int, out string, args ...string) {
		t.Helper()
		if r := f.run(args...); r.code != code || r.out != out {
			t.Errorf("%q: exit code %d, want %d; got:\n%swant:\n%s", args, r.code, code, r.both, out)
		}
	}
	f.run("apply", "-f", "testdata/manifests/dir/20-pool.yaml").expect(t, ExitOK, "")
	leak("10.65.0.1")
	leak("10.65.0.2")
	first, second := filepath.Join(t.TempDir(), "first.json"), filepath.Join(t.TempDir(), "second.json")
	check := func(report string) {
		t.Helper()
		if r := f.run("ipam", "check", "--kernel=false", "--report", report); r.code != ExitFailed {
			t.Errorf("exit code %d:\n%s", r.code, r.both)
		}
	}
	check(first)
	run(ExitOK, "10.65.0.1 released\n", "ipam", "release", "--ip", "10.65.0.1")
	leak("10.65.0.3")
	leak("10.65.0.4")
	check(second)
	run(ExitOK, "10.65.0.2 released\n10.65.0.4 released\n", "ipam", "release", "--ip", "10.65.0.2,10.65.0.4")
	run(ExitOK, "endpoint prod/docker/one/eth0 registered on node host1: registered\n",
		"endpoint", "register", "prod/docker/one/eth0", "--interface", "veth9", "--ip", "10.65.0.2")

	run(ExitFailed, "", "ipam", "release", "--from-report", first, "--from-report", "testdata/manifests/dir/20-pool.yaml")
	r := f.run("ipam", "release", "--from-report", first+","+second)
	if want := regexp.MustCompile(`^10\.65\.0\.1 is held by nobody\n10\.65\.0\.2 passed over: .*held by handle prod/docker/one/eth0.*\n` +
		`10\.65\.0\.2 passed over: .*\n10\.65\.0\.3 released\n10\.65\.0\.4 is held by nobody\n$`); r.code != ExitOK || !want.MatchString(r.out) {
		t.Errorf("exit code %d:\n%s", r.code, r.both)
	}
	run(ExitOK, "POOL   CIDR           ADDRESSES   IN USE   FREE    BLOCKS   REMARK\nfour   10.65.0.0/16   65536       1        65535   1\nnothing is wrong\n",
		"ipam", "check", "--kernel=false")

	run(ExitFailed, "10.65.0.9 is held by nobody\n", "ipam", "release", "--ip", "10.65.0.2", "--ip", "10.65.0.9", "--ip", "192.0.2.1")
	run(ExitUsage, "", "ipam", "release")
	run(ExitUsage, "", "ipam", "release", "--ip", "10.65.0.9", "--handle", "x")
	run(ExitUsage, "", "ipam", "release", "--handle", "")
	run(ExitUsage, "", "ipam", "release", "--ip", "")
	run(ExitUsage, "", "ipam", "show", "--ip", "")
	run(ExitOK, "prod/docker/one/eth0\n:4\n", "__complete", "ipam", "release", "--handle", "")
	run(ExitOK, ":4\n", "__complete", "ipam", "release", "--ip", "")
}

// TestIPAMSettings: what is set is shown with what nobody has set.
func TestIPAMSettings(t *testing.T) {
	f := realServer(t, store.NewMemory())
	run := func(out string, args ...string) {
		t.Helper()
		if r := f.run(args...); r.code != ExitOK || r.out != out {
			t.Errorf("%q: exit code %d; got:\n%swant:\n%s", args, r.code, r.both, out)
		}
	}
	show := []string{"ipam", "show", "--configuration"}
	run("SETTING              VALUE\nstrictAffinity       false\nautoAllocateBlocks   true\nmaxBlocksPerHost     20, as nobody says otherwise\n"+
		"ipCooldownSeconds    0\nforeignCIDRs         none\n", show...)
	run("ipamconfiguration/default created\n", "ipam", "configure", "--strict-affinity", "--auto-allocate-blocks=false",
		"--max-blocks-per-host", "4", "--cooldown", "1m", "--foreign-cidrs", "10.96.0.0/12,fd96::/108")
	run("ipamconfiguration/default unchanged\n", "ipam", "configure", "--cooldown", "60s")
	run("SETTING              VALUE\nstrictAffinity       true\nautoAllocateBlocks   false\nmaxBlocksPerHost     4\n"+
		"ipCooldownSeconds    60\nforeignCIDRs         10.96.0.0/12, fd96::/108\n", show...)
	run("ipamconfiguration/default configured\n", "ipam", "configure", "--foreign-cidrs", "")
	run("ipamconfiguration/default unchanged\n", "ipam", "configure", "--foreign-cidrs", "")
	if r := f.run("ipam", "show", "--configuration", "-o", "json"); r.code != ExitOK || !strings.Contains(r.out, `"strictAffinity": true`) ||
		strings.Contains(r.out, "foreignCIDRs") {
		t.Errorf("exit code %d:\n%s", r.code, r.both)
	}
	f.run("apply", "-f", "testdata/manifests/dir/20-pool.yaml").expect(t, ExitOK, "")
	run("four\n:4\n", "__complete", "ipam", "split", "")
	run("four\n:4\n", "__complete", "ipam", "show", "--addresses", "--pool", "")
}
