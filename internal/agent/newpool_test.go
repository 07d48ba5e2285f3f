package agent

import (
	"sync"
	"testing"

	"github.com/projectvrouter/vrouter/bgp"
	"github.com/projectvrouter/vrouter/internal/resource"
	"github.com/projectvrouter/vrouter/internal/store"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

// heldPools is a speaker that takes new pools only when it is let.
type heldPools struct {
	bgp.Speaker
	let chan struct{} // replaced only while the agent rests
}

func (h *heldPools) SetPools(pools []bgp.Pool) {
	<-h.let
	h.Speaker.SetPools(pools)
}

// TestPoolIsHeardOfLater: a pool is written right before its first block and
// endpoint, and the edge that states pools is slower than that of endpoints.
// Peers hear of the block alone all the same.
func TestPoolIsHeardOfLater(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		h := &heldPools{let: make(chan struct{})}
		close(h.let)
		r.kernel.AddLink("w-a")
		r.start(func(o *Options) { h.Speaker, o.Speaker = o.Speaker, h })
		h.let = make(chan struct{})
		let := sync.OnceFunc(func() { close(h.let) })
		defer let()
		pool := advertising("four", "10.0.0.0/16", "Blocks")
		value, err := resource.Encode(pool)
		if err != nil {
			t.Fatal(err)
		}
		r.calls.take()
		revision := r.write(store.Op{Key: keyOf(pool), Value: value},
			claimOp(t, "host1", blockA, "confirmed"), endpointOp(t, "a", "host1", "10.0.0.1/32"))
		r.wantOwn(blockA + " 100")
		r.wantStage("a", revision, vrouterv1.Stage_STAGE_ADVERTISED, "")
		let()
		r.pass(0)
		r.wantOwn(blockA + " 100")
		wantNone(t, r.calls.take(), "originate 10.0.0.1/32", "withdraw")
	})
}
