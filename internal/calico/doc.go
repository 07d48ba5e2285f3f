// Package calico makes an export of vrouter of what Calico's tools wrote: the
// file of `calicoctl datastore migrate export`, and what `calicoctl get` and
// `kubectl get` print of Calico's objects, those of its address management
// included.
//
// What it keeps true: every address is held in the same block, by the endpoint
// that has it, else under the handle that it had, with the same attributes and
// sequence number; as in Calico the blocks decide, and handles and affinities
// follow from them. What cannot be taken whole is refused, all of it at once, by
// file, document and path; nothing is left out in silence.
//
// What it does not do: it reads no datastore of Calico's and writes to none. The
// import is that of package backup. It owns no state.
package calico
