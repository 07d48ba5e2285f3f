// Package store is the port to the datastore: everything vrouter keeps
// outside a process is read, watched and written through [Store].
//
// What it keeps true: every write is one transaction of compares and puts, all
// or nothing; a snapshot is read at one revision; a watch tells, for each key,
// the newest state it has and never hides that a key is gone, whatever
// happened to the connection, the leader or the history in between; a store
// that went back in time (a restored backup, an emptied one) is told as
// [ErrForeign] and never as deletions.
//
// What it does not do: it knows keys and bytes, no resource; it takes no lock
// and elects nobody; it keeps no cache. Keys are relative to the prefix of a
// cluster ("r/Node/-/host1"); keys.go has their scheme.
//
// The state belongs to the server behind a driver: [Memory] here, for tests
// and dry runs, and etcd in package etcd. Package storetest has the suite that
// both pass. copy.go and cluster.go hold what a host remembers of the store
// while it is away, and how it knows the store again.
package store
