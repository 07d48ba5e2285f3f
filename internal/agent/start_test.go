package agent

import (
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	withRig(t, func(r *rig) {
		r.kernel.AddLink("w-a")
		r.put(endpointObject("a", "host1", "10.0.0.1/32", "fd10::1/128"))
		r.start()
		r.pass(3 * time.Second)
		r.wantNotReady()
		r.wantRoutes("10.0.0.1/32 dev w-a proto 118 metric 118", "fd10::1/128 dev w-a proto 118 metric 118")
		r.wantOwn("10.0.0.1/32 100", "fd10::1/128 100")
		t.Log(r.calls.take())
	})
}
