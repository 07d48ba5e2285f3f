package integration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
)

// TestBlackholeInTheKernel: what a host tells with BLACKHOLE is dropped by the
// kernel of another that honours it, in both families, and forwarded again when
// the community goes.
func TestBlackholeInTheKernel(t *testing.T) {
	needDaemons(t)
	s := fabric.NewSegment(t, "blackhole", 1)
	for _, name := range []string{"h1", "h2"} {
		s.Daemon(name, fabric.Settings{})
	}
	d := s.Hosts[0]
	d.WaitReady()
	d.Apply(fabric.PoolManifest)
	requireAllPairs(t, populate(s.Hosts, 1))
	v4, v6 := fabric.Address(1, 0)
	for _, drops := range []bool{true, false} {
		communities := ""
		if drops {
			communities = "blackhole"
		}
		d.Apply(fmt.Sprintf(`---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec:
  sessionDefaults: {honourBlackhole: true}
  prefixAdvertisements:
  - {cidr: %s/32, communities: [%s]}
  - {cidr: "%s/128", communities: [%s]}
`, v4, communities, v6, communities))
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("h1 drops what is for h2's workload: %t", drops), func() error {
			var errs []error
			for _, a := range []string{v4, v6} {
				family := "-4"
				if netip.MustParseAddr(a).Is6() {
					family = "-6"
				}
				out := d.MustRun("ip", family, "route", "show", a)
				if !strings.Contains(out, a) || strings.Contains(out, "blackhole") != drops {
					errs = append(errs, fmt.Errorf("route to %s: %q", a, out))
				}
			}
			return errors.Join(errs...)
		})
	}
}
