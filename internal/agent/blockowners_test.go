package agent

import (
	"testing"
	"time"
)

// TestBlockOwnersAreFollowed: nobody watches blocks before somebody asks; with
// the store away what was known stays, and is not trusted.
func TestBlockOwnersAreFollowed(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.write(claimOp(t, "host2", blockA, "confirmed"))
		r.write(claimOp(t, "host2", "10.0.1.1/32", "confirmed"))
		r.start()
		blocks := r.agent.reflects.blocks
		owners := ownersOf{r.agent.reflects.owners, blocks.owners}
		want := func(prefix, node string) {
			t.Helper()
			if got, ok := owners.Owner(pfx(prefix)); got != node || ok != (node != "") {
				t.Errorf("%s is on %q, want %q", prefix, got, node)
			}
		}
		want(blockA, "")
		if blocks.owners.Synced() {
			t.Error("followed without need")
		}
		blocks.follow()
		r.pass(0)
		want(blockA, "host2")
		want("10.0.1.1/32", "") // of one address: it is on the host of its endpoint
		r.write(claimOp(t, "host2", blockA, ""), claimOp(t, "host3", blockA, "confirmed"))
		want(blockA, "host3")
		if !blocks.owners.Synced() {
			t.Error("not in sync")
		}
		r.client.Disconnect()
		r.write(claimOp(t, "host3", blockA, ""))
		r.pass(time.Minute)
		want(blockA, "host3")
		r.client.Reconnect()
		r.pass(time.Minute)
		want(blockA, "")
		if !blocks.owners.Synced() {
			t.Error("not in sync again")
		}
	})
}
