// Package backup takes what a datastore holds to another one, as a file: every
// resource, the claims of addresses, and all of address management, byte for
// byte and at one revision. What each host finds out and writes by itself is not
// in it: statuses, leases, elections.
//
// What it keeps true: a file that is not whole, or holds anything that the API
// would refuse, is not used at all; an import is written into a store that holds
// nothing yet, and nobody follows that store before it is whole
// ([store.Cluster].Importing); sequence numbers of addresses do not come again.
// The identity of the store is its own and not the file's.
//
// The format is in docs/operating.md. This package owns no state and no
// goroutine.
package backup
