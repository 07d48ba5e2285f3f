package cli

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sequence is a number that depends on what was written before.
var sequence = regexp.MustCompile(`sequence   \d+`)

// ipamSteps runs the commands of address management against a real server.
func ipamSteps(t *testing.T, f *fake) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	for _, step := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"ipam", "show"}, ExitOK, ""},
		{[]string{"ipam", "show", "--blocks", "--ip", "10.65.0.1"}, ExitUsage, ""},
		{[]string{"ipam", "show", "--pool", "four"}, ExitUsage, ""},
		{[]string{"ipam", "show", "--configuration", "--pool", "four"}, ExitUsage, ""},
		{[]string{"ipam", "show", "--addresses", "-o", "yaml"}, ExitUsage, ""},
		{[]string{"endpoint", "register", "prod/docker/none/eth0", "--interface", "veth9"}, ExitFailed, ""}, // no pool
		{[]string{"apply", "-f", "testdata/manifests/dir/20-pool.yaml"}, ExitOK, "ippool/four created\n"},
		{[]string{"ipam", "reserve", "gateway", "10.65.0.0/26", "10.65.0.64/26"}, ExitOK, "ipreservation/gateway created: 2 ranges\n"},
		{[]string{"ipam", "configure", "--auto-allocate-blocks=false"}, ExitFailed, ""},
		{[]string{"ipam", "configure", "--cooldown", "5s"}, ExitOK, "ipamconfiguration/default created\n"},
		{[]string{"ipam", "configure", "--cooldown", "5s"}, ExitOK, "ipamconfiguration/default unchanged\n"},
		{[]string{"ipam", "configure", "--strict-affinity", "--max-blocks-per-host", "2"}, ExitOK, "ipamconfiguration/default configured\n"},
		{[]string{"ipam", "configure"}, ExitUsage, ""},
		{[]string{"endpoint", "register", "prod/docker/one/eth0", "--interface", "veth9", "--ip", "10.65.1.3"}, ExitOK,
			"endpoint prod/docker/one/eth0 registered on node host1: registered\n"},
		{[]string{"ipam", "show", "--blocks"}, ExitOK, "POOL   CIDR           ADDRESSES   IN USE   FREE    BLOCKS   REMARK\n" +
			"four   10.65.0.0/16   65536       1        65407   1        128 reserved\n\n" +
			"POOL   BLOCK          AFFINITY     STATE       IN USE   FREE\nfour   10.65.1.0/26   host:host1   confirmed   1        63\n"},
		{[]string{"ipam", "show", "--handle", "nobody"}, ExitNotFound, ""},
		{[]string{"ipam", "show", "--ip", "10.65.1.4"}, ExitOK,
			"address    10.65.1.4\npool       four\nblock      10.65.1.0/26\naffinity   host:host1\nhandle     none: it is free\n"},
		{[]string{"ipam", "show", "--ip", "10.65.0.1"}, ExitOK,
			"address    10.65.0.1\npool       four\nblock      none\nhandle     none: it is reserved, for who names it\n"},
		{[]string{"ipam", "show", "--ip", "192.0.2.1"}, ExitOK,
			"address    192.0.2.1\npool       none\nblock      none\nhandle     none: it is in no pool\n"},
		{[]string{"ipam", "show", "--ip", "10.65.1.3"}, ExitOK,
			"address    10.65.1.3\npool       four\nblock      10.65.1.0/26\naffinity   host:host1\nhandle     prod/docker/one/eth0\nsequence   SEQUENCE\n" +
				"owner      endpoint prod/docker/one/eth0\nendpoint   prod/docker/one/eth0\nnode       host1\n"},
		{[]string{"ipam", "show", "--addresses"}, ExitOK, "ADDRESS     BLOCK          HANDLE                 NODE    BORROWED FROM\n" +
			"10.65.1.3   10.65.1.0/26   prod/docker/one/eth0   host1   -\n"},
		{[]string{"ipam", "check", "--kernel=false", "--report", report}, ExitOK, "POOL   CIDR           ADDRESSES   IN USE   FREE    BLOCKS   REMARK\n" +
			"four   10.65.0.0/16   65536       1        65407   1        128 reserved\nnothing is wrong\n"},
		{[]string{"ipam", "release", "--from-report", report}, ExitOK, ""},
		{[]string{"ipam", "assign-block", "host2", "10.65.7.0/26"}, ExitOK, "block 10.65.7.0/26 assigned to node host2\n"},
		{[]string{"ipam", "assign-block", "host1", "10.65.7.0/26"}, ExitFailed, ""}, // it is another's
		{[]string{"ipam", "assign-block", "host1", "10.65.7.0/24"}, ExitFailed, ""}, // of another size
		{[]string{"ipam", "assign-block", "host1"}, ExitUsage, ""},
		{[]string{"endpoint", "register", "prod/docker/one/eth0", "--interface", "veth9", "--node", "host3"}, ExitOK,
			"endpoint prod/docker/one/eth0 registered on node host3 with 10.65.1.3/32 (existed before): registered\n"},
		{[]string{"ipam", "show", "--addresses", "--borrowed", "--pool", "four"}, ExitOK,
			"ADDRESS     BLOCK          HANDLE                 NODE    BORROWED FROM\n10.65.1.3   10.65.1.0/26   prod/docker/one/eth0   host3   host1\n"},
		{[]string{"ipam", "show", "--addresses", "--pool", "nowhere"}, ExitNotFound, ""},
		{[]string{"__complete", "ipam", "release-block", "host2", ""}, ExitOK, "10.65.7.0/26\n:4\n"},
		{[]string{"ipam", "release-block", "host1", "10.65.1.0/26"}, ExitFailed, ""}, // in use
		{[]string{"ipam", "release-block", "host1", "10.65.7.0/26"}, ExitFailed, ""}, // another's
		{[]string{"ipam", "release-block", "host2", "10.65.7.0/26"}, ExitOK, "block 10.65.7.0/26 taken from node host2\n"},
		{[]string{"ipam", "release", "--ip", "10.65.1.3"}, ExitFailed, ""},
		{[]string{"ipam", "release", "--ip", "10.65.1.4"}, ExitOK, "10.65.1.4 is held by nobody\n"},
		{[]string{"ipam", "release", "--ip", "10.65.1.4", "--handle", "x"}, ExitUsage, ""},
		{[]string{"ipam", "release", "--handle", "nobody"}, ExitNotFound, ""},
		{[]string{"ipam", "split", "four"}, ExitOK, "ippool/four-0 created\nippool/four-1 created\nippool/four deleted\n"},
		{[]string{"get", "blocks"}, ExitOK, "CIDR           AFFINITY     INUSE   FREE\n10.65.1.0/26   host:host1   1       63\n"},
		{[]string{"delete", "ippool", "four-0"}, ExitFailed, ""},
		{[]string{"endpoint", "unregister", "prod/docker/one/eth0"}, ExitOK, "endpoint prod/docker/one/eth0 unregistered\n"},
		{[]string{"delete", "ippool", "four-0", "four-1"}, ExitOK, "ippool/four-0 deleted\nippool/four-1 deleted\n"},
		{[]string{"apply", "-f", "../../configs/examples/manifests/ippools.yaml"}, ExitOK, "namespace/blue-web created\nippool/common created\n" +
			"ippool/common-v6 created\nippool/tenant-blue created\nippool/edge created\nippool/public created\nippool/load-balancers created\n"},
		{[]string{"delete", "ipreservation", "gateway"}, ExitOK, "ipreservation/gateway deleted\n"},
		{[]string{"apply", "-f", "../../configs/examples/manifests/ipam.yaml"}, ExitOK, "controllerconfiguration/default created\n" +
			"ipamconfiguration/default configured\nipreservation/gateways created\n"},
		{[]string{"delete", "-f", "../../configs/examples/manifests/ippools.yaml"}, ExitOK, "ippool/load-balancers deleted\nippool/public deleted\nippool/edge deleted\n" +
			"ippool/tenant-blue deleted\nippool/common-v6 deleted\nippool/common deleted\nnamespace/blue-web deleted\n"},
	} {
		r := f.run(step.args...)
		r.out = sequence.ReplaceAllString(r.out, "sequence   SEQUENCE")
		if r.code != step.code || step.code == ExitOK && r.out != step.out {
			t.Errorf("%q: exit code %d, want %d; got:\n%swant:\n%s", step.args, r.code, step.code, r.both, step.out)
		}
		if step.args[1] == "assign-block" && r.code == ExitOK && !strings.Contains(r.both, "there is no Node host2") {
			t.Errorf("%q of a node that is not there: %s", step.args, r.both)
		}
	}
}
