// Package reconcile keeps a world outside equal to what is wanted of it.
//
// [Delta] is the bookkeeping, pure and without I/O: it is told what is wanted
// and what was observed, key by key, in any order and as often as one likes,
// and it says which keys differ. Its work is proportional to what changed; only
// a read-back walks everything. [Loop] is the clock: it runs one Sync function
// when it is kicked, after a failure with exponential back-off, and with a full
// read-back from time to time.
//
// Neither decides anything nor knows what the keys are: routes, sets, tunnels,
// BGP peers. A Delta has no lock and belongs to the engine that holds it; a
// Loop may be kicked from anywhere. A key that cannot be written stays pending
// and never holds up the others; the round after a failure reads everything
// back, because a failed write leaves the world unknown.
package reconcile
