package integration_test

import (
	"fmt"

	"github.com/projectvrouter/vrouter/integration/fabric"
)

// advertising is both pools, of which that is told.
func advertising(v4, v6 string) string {
	return fmt.Sprintf(`
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v4}
spec: {cidr: %s, advertise: %s}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: v6}
spec: {cidr: "%s", advertise: %s}
`, fabric.PoolIPv4, v4, fabric.PoolIPv6, v6)
}
