// Package flows receives what dataplanes send to the flow group, over NFLOG: the
// first octets of denied and logged packets, with what decided about them.
//
// The kernel sends a group to one socket. A [Listener] has it bound only while
// somebody watches; without that the kernel throws packets of the group away at
// once, so that a flood of denied packets costs the daemon nothing. A watcher
// that is too slow misses flows, and so does a daemon that is: both are counted.
package flows
