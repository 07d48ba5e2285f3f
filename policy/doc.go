// Package policy turns selected rules into what one host's kernel enforces,
// with the semantics of Calico's API: tiers, order, Pass, profiles, and host
// endpoints with four points of evaluation.
//
// A [Resolver] folds resources into an [Update] at a time: rules with their
// selectors resolved to sets of addresses, one [Pipeline] for all endpoints
// that the same policies select, and what of it is new. A [Table] carries
// updates to a [Dataplane], tries again, and has everything read back when
// somebody else was at the kernel's rules. policy/nftables and policy/iptables
// are that port, policy/policytest has the suite that each passes and a plain
// reference that says which verdict is right.
//
// What it keeps true: an endpoint counts as policed only while the kernel
// enforces what was resolved for it; a refused update leaves the old rules and
// is tried again; what is enforced is a function of what is stored, whatever
// way it came there; values that were handed over are never changed.
package policy
