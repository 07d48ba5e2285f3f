package bgptest

import (
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

// Run runs the conformance suite of bgp.Speaker. newSpeaker makes one that is
// not started; those of one test reach each other at Address, port 179.
func Run(t *testing.T, newSpeaker func(testing.TB) bgp.Speaker) {
	for i, c := range []struct {
		name string
		test func(*lab)
	}{
		{"session comes up", sessionComesUp},
		{"both ends dial", bothEndsDial},
		{"ipv6", ipv6},
		{"both families", bothFamilies},
		{"four-octet as", fourOctetAS},
		{"wrong as stays down", wrongAS},
		{"same sessions reset nothing", sameSessions},
		{"changed session resets itself", changedSession},
		{"removed session", removedSession},
		{"refused sessions", refusedSessions},
		{"originate before sessions", originateBefore},
		{"originate, change, withdraw", originateChangeWithdraw},
		{"multipath", multipath},
		{"own and learned", ownAndLearned},
		{"pools", pools},
		{"pools change", poolsChange},
		{"no transit", noTransit},
		{"no mesh forwarding", noMeshForwarding},
		{"external local-pref", externalLocalPref},
		{"reflection", reflection},
		{"reflection to non-clients", reflectionNonClients},
		{"reflector at the edge", reflectorAtTheEdge},
		{"reflector pools change", reflectorPoolsChange},
		{"graceful restart", gracefulRestart},
		{"restart of both ends", restartOfBoth},
		{"restart time runs out", restartTimeRunsOut},
		{"stop with cease", stopWithCease},
		{"routes", routes},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(&lab{T: t, newSpeaker: newSpeaker, first: 1 + i*hostsPerTest})
		})
	}
}
