// Package etcd is the store on etcd, as an external cluster ([New]) or as a
// server inside the daemon for a single host ([Embedded]).
//
// What it keeps true: every call ends in bounded time with an error of one of
// the kinds of package store; a watch goes on over lost connections, lost
// leaders and compacted history, on one gRPC stream for all its prefixes, and
// looks at the store's revision and identity before each start, because etcd
// would wait in silence on a revision that it has not reached. The reason why a
// connection does not come up is part of the error, because etcd's client tells
// of most only that a deadline has passed.
//
// What it does not do: it never compacts or defragments an external cluster,
// and changes no authorisation there. The cluster owns all state; this process
// keeps only positions of watches. Nothing here blocks the start of a daemon
// while etcd is away.
package etcd
