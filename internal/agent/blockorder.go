package agent

import (
	"errors"
	"maps"
	"net/netip"

	"github.com/projectvrouter/vrouter/internal/resource"
)

// follow carries which blocks are owned to the table and to peers.
func (w *workloads) follow() {
	if w.blocks.follow() || w.blocks.outdated() {
		w.tellBlocks()
	}
}

// tellBlocks brings in line what peers are told of blocks and of the addresses
// in them: blocks come before the addresses go that they stand for, and the
// addresses come before blocks go. Peers reach every address all the time.
func (w *workloads) tellBlocks() {
	moved := w.blocks.announce()
	for id := range w.holders(moved) {
		w.advance(id, w.byID[id])
	}
	w.blocks.withdraw()
}

// heard goes on after there was news of claims: endpoints may have waited for it.
func (w *workloads) heard() {
	w.follow()
	for id := range maps.Clone(w.troubled) {
		w.advance(id, w.byID[id])
	}
}

// tell has peers told of an address that the kernel forwards. One whose block is
// about to be told waits for that, so that peers are not told of a moment.
func (w *workloads) tell(p netip.Prefix, spec *resource.WorkloadEndpoint) error {
	if !w.origins.told(p) {
		switch {
		case w.blocks.awaited(p):
			return errBlockAwaited
		case w.blocks.unheard(p, spec.Revision):
			return errBlockUnheard
		case w.blocks.caughtUp(p):
			return errBlockAwaited
		}
	}
	return w.origins.originate(p, spec.Interface)
}

// Why peers are not told of an address yet.
var (
	errBlockAwaited = errors.New("the block that peers are told of is not in the kernel yet")
	errBlockUnheard = errors.New("whether it is in a block of this host is being asked of the store")
)

// holders returns the endpoints with an address in one of the blocks.
func (w *workloads) holders(moved []netip.Prefix) map[resource.EndpointID]struct{} {
	found := make(map[resource.EndpointID]struct{})
	if len(moved) == 0 {
		return found
	}
	for prefix, c := range w.claims {
		for _, b := range moved {
			if b.Contains(prefix.Addr()) && w.byID[c.holder] != nil {
				found[c.holder] = struct{}{}
			}
		}
	}
	return found
}

// retell does what tellBlocks does, for all blocks and addresses.
func (w *workloads) retell() {
	w.blocks.announce()
	for id, l := range w.byID {
		w.advance(id, l)
	}
	w.blocks.withdraw()
}

// recheckBlocks looks at blocks that have made no news.
func (w *workloads) recheckBlocks() {
	if !w.blocks.troubled() {
		return
	}
	w.blocks.follow()
	w.tellBlocks()
}
