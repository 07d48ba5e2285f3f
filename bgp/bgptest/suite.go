package bgptest

import (
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
)

// Run runs the conformance suite of bgp.Speaker. newSpeaker makes one that is
// not started; those of one test reach each other at Address, port 179. known
// says why a Speaker fails a test of that name; such a test is not run, and the
// log says so.
func Run(t *testing.T, newSpeaker func(testing.TB) bgp.Speaker, known map[string]string) {
	run(t, newSpeaker, known, 1, []test{
		{"session comes up", sessionComesUp},
		{"both ends dial", bothEndsDial},
		{"ipv6", ipv6},
		{"both families", bothFamilies},
		{"four-octet as", fourOctetAS},
		{"wrong as stays down", wrongAS},
		{"same sessions reset nothing", sameSessions},
		{"changed session resets itself", changedSession},
		{"session changed at both ends", changedAtBothEnds},
		{"session of another as", changedToNothing},
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
		{"anycast behind a reflector", anycast},
		{"two reflectors", twoReflectors},
		{"restart of a reflector", reflectorRestart},
		{"a host becomes a reflector", becomesReflector},
		{"graceful restart", gracefulRestart},
		{"restart of both ends", restartOfBoth},
		{"restart time runs out", restartTimeRunsOut},
		{"stop with cease", stopWithCease},
		{"routes", routes},
	})
}

// test is one of a suite.
type test struct {
	name string
	run  func(*lab)
}

// run runs tests side by side, whose hosts are those from first on.
func run(t *testing.T, newSpeaker func(testing.TB) bgp.Speaker, known map[string]string, first int, tests []test) {
	for i, c := range tests {
		if why, ok := known[c.name]; ok {
			t.Logf("%s: not run: %s", c.name, why)
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(&lab{T: t, newSpeaker: newSpeaker, first: first + i*hostsPerTest})
		})
	}
}
