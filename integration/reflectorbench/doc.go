// Package reflectorbench measures route reflectors (RFC 4456) side by side:
// vrouterd, BIRD, FRR, GoBGP, OpenBGPD, and a floor that only copies bytes. Each target runs in
// a network namespace of its own, one after the other in the same run, and
// serves real TCP sessions: N clients, each with an address and M host routes.
//
// What it keeps true: every client's table is checked, not just counted. Each
// route must come with its owner's next hop, ORIGINATOR_ID, the target's
// CLUSTER_LIST, and the other attributes as they were sent; at the end of a
// scenario a client holds exactly what it should, and nothing of a faulty one. A
// target that does not finish within the limit is reported as such, and holds up
// no other.
//
// What it does not do: the load generator is not a BGP speaker. It has no
// RIB and no timers but keepalives, knows one family in a run, and is written
// to cost little, since it shares the processors with what is measured. Its
// own processor time is reported with every result. A generator owns its
// clients; a client's table is guarded by the client's mutex.
package reflectorbench
