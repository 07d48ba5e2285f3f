package agent

import (
	"testing"
	"time"
)

// A store that is full tells all and takes nothing: a host without a copy
// starts with what it tells, instead of waiting until peers drop its routes.
func TestStartOnAFullStore(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.left()
		r.kernel.AddLink("w-a")
		r.node2()
		p := r.peer()
		p.originate("10.0.3.3/32")
		r.start() // makes what every cluster has, and the Node
		r.put(endpointObject("a", "host1", "10.0.0.1/32"))
		r.end()
		r.store.SetFull(true)
		r.start()
		r.pass(time.Minute)
		r.wantRoutes(lineA, "10.0.3.3/32 group(via 192.0.2.2 dev up0) proto 120 metric 118")
		r.wantOwn("10.0.0.1/32 100")
		r.wantNotReady(conditionNode)
		r.store.SetFull(false)
		r.pass(time.Minute)
		r.wantNotReady()
	})
}
