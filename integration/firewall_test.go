package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/projectvrouter/vrouter/integration/fabric"
	"github.com/projectvrouter/vrouter/internal/lab"
	"github.com/projectvrouter/vrouter/internal/testenv"
)

// A firewall of others that drops what is forwarded is named by the status of
// the node, and gives way where the configuration says so, to packets of
// workloads that policy lets through.
func TestForeignFirewall(t *testing.T) {
	needDaemons(t)
	testenv.Need(t, "program:iptables-nft", "program:nft")
	s := fabric.NewSegment(t, "firewall", 1)
	h := s.Daemon("h1", fabric.Settings{Extra: enforced})
	h.WaitReady()
	h.Apply(fabric.PoolManifest + `
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: default.open}
spec: {selector: role == "open", ingress: [{action: Allow}], egress: [{action: Allow}]}
`)
	a := labelled(t, h, "a", map[string]string{"role": "open"}, 0, 0)
	b := labelled(t, h, "b", map[string]string{"role": "open"}, 0, 1)
	closed := labelled(t, h, "closed", nil, 0, 2)
	requireReach(t, a, b, true)
	for _, program := range []string{"iptables-nft", "ip6tables-nft"} {
		h.MustRun(program, "-N", "DOCKER-USER")
		h.MustRun(program, "-A", "FORWARD", "-j", "DOCKER-USER")
		h.MustRun(program, "-P", "FORWARD", "DROP")
	}
	requireReach(t, a, b, false)
	configure := func(on bool) {
		h.Apply(fmt.Sprintf(`
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {acceptInForeignChains: %t, cutDeniedConnections: true}
`, on))
	}
	problem := func(want bool) {
		t.Helper()
		lab.Eventually(t, fabric.Limit, fmt.Sprintf("the firewall is a problem of the node: %t", want), func() error {
			r, err := h.Status()
			if err == nil && strings.Contains(strings.Join(r.GetProblems(), "\n"), "chain FORWARD (policy drop) of Docker") != want {
				err = errors.New(strings.Join(r.GetProblems(), "\n"))
			}
			return err
		})
	}
	configure(false)
	problem(true)
	configure(true)
	requireReach(t, a, b, true)
	requireReach(t, a, closed, false)
	problem(false)
	configure(false)
	requireReach(t, a, b, false)
	problem(true)
}
