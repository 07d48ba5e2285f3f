// Package explain says what becomes of the first packet of a connection on its
// way through the cluster, and which rule of which policy decides.
//
// A [Cluster] is what is stored, resolved as hosts resolve it: the same code
// makes the rules, and [policy.State] judges the packet by them. The package
// adds the way: the stages on the source's host and on the destination's, in
// their order. It sees no host, so that it works from manifests alone. What it
// cannot know it says: an end that is not there, an interface that the packet
// may or may not come by, what rules of others on a host do.
package explain
