// Package ipam gives addresses to workloads, from pools cut into blocks that
// hosts have affinity to, with the semantics of Calico's IPAM.
//
// What it keeps true: no address is given twice, none outside its pool, and
// none is lost: a block is the only truth about its addresses, handles and
// affinities are indexes of blocks, and all are written in one transaction
// with whatever needs the address. What a [Step] decides is a pure function
// of what was read ([Reads]), the settings ([Env], the time included) and the
// request; its outcome is compares and puts, or what else must be read, or a
// typed error. [Client] runs steps over a store and tries again on conflicts.
//
// What it does not do: it watches nothing, owns no goroutine and no clock, and
// knows endpoints only as owners named by a key of the store. All state is in
// the store; a Client only remembers what it read last, and never refuses
// anything because of it.
package ipam
