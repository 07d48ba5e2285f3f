// Package bgptest has a bgp.Speaker in memory and the suite that every Speaker
// passes.
//
// The fakes of one Network reach each other as if they had TCP between them:
// two sessions that fit come up at once, and what one speaker says the others
// have learned when the call returns. They keep the rules that the suite checks
// (pools, no transit, reflection, graceful restart), and use time only to let a
// restart time run out, so that they work under testing/synctest. They do not
// encode messages, have no timers of their own, and never wait for End-of-RIB.
package bgptest
