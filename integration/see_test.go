package integration_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/bgp/bmp/bmptest"
	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// TestSeeReflector looks at a reflector with everything that shows it: the CLI,
// a monitoring station, a dump that bgpdump reads.
func TestSeeReflector(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "see", 1)
	rr := s.Daemon("rr", fabric.Settings{
		Role: "reflector", ClusterID: reflectorClusterID, Labels: map[string]string{"reflector": "true"},
		Extra: "bmp:\n- address: 127.0.0.1:11019\n  postPolicy: true\n  statisticsInterval: 1s\n",
	})
	l, err := rr.Listen(t.Context(), "tcp", "127.0.0.1:11019")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	station := new(bmptest.Station)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go station.Serve(conn)
		}
	}()
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{})
	}
	rr.WaitReady()
	rr.Apply(fabric.PoolManifest + fabric.NoMesh + fabric.ReflectorPeers)
	requireAllPairs(t, populate(s.Hosts[1:], 2))

	shows := func(what string, args ...string) {
		t.Helper()
		pattern := regexp.MustCompile(what)
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("%s shows %s", args, what), func() error {
			out, err := rr.Ctl(args...)
			if err != nil || !pattern.MatchString(out) {
				return fmt.Errorf("%w\n%s", err, out)
			}
			t.Logf("vrouterctl %s\n%s", strings.Join(args, " "), out)
			return nil
		})
	}
	shows(`4 of 4 sessions established, 4 with clients`, "reflector", "status")
	shows(`127.0.0.1:11019 +up`, "reflector", "status")
	shows(`(?m)^\S+ +10.0.0.3 +64512 +Established .* IPv4:2/2/2`, "reflector", "peers", "-o", "wide")
	shows(`(?m)^1 +IPv[46] +client +2 +0 .* level`, "reflector", "group", "-o", "wide")
	v4, _ := fabric.Address(0, 0)
	v4 += "/32"
	shows(regexp.QuoteMeta(v4)+` +\* 10.0.0.3`, "reflector", "routes", "--best", "--peer", "10.0.0.3")
	shows(`No routes found`, "reflector", "routes", "--refused")

	lab.Eventually(t, fabric.Limit, "the station holds what the clients tell", func() error {
		for _, post := range []bool{false, true} {
			table := station.Table(netip.MustParseAddr("10.0.0.3"), post)
			if !strings.Contains(table, v4+"#0 via 10.0.0.3") || strings.Contains(table, "…") || strings.Count(table, "\n") != 1 {
				return fmt.Errorf("post %t: %s", post, table)
			}
		}
		if err := station.Err(); err != nil {
			t.Fatal(err)
		}
		if len(station.Reports()) == 0 {
			return fmt.Errorf("no statistics")
		}
		return nil
	})

	path := filepath.Join(t.TempDir(), "rib.mrt")
	if out, err := rr.Ctl("reflector", "dump", "--mrt", path); err != nil {
		t.Fatalf("dump: %v\n%s", err, out)
	}
	testenv.Need(t, "program:bgpdump")
	out, err := exec.CommandContext(t.Context(), testenv.Program("bgpdump"), "-m", path).Output()
	if err != nil || strings.Count(string(out), "\n") != 8 || !strings.Contains(string(out), "|10.0.0.3|64512|"+v4+"|") {
		t.Errorf("bgpdump: %v\n%s", err, out)
	}
}
